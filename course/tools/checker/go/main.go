// Checks histories with porcupine, as the command check of the program side-by-side checks them with this lab's checker.
// That program starts this one, and says what the arguments and the line of output mean.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// The type Measurement of side-by-side.
type measurement struct {
	Verdicts    string `json:"verdicts"`
	Nanoseconds int64  `json:"nanoseconds"`
	Kilobytes   int    `json:"kilobytes"`
}

func main() {
	if len(os.Args) < 5 {
		fail("usage: porcupine MODEL LIMIT_MS REPEAT_MS FILE...")
	}
	var model porcupine.Model
	parse := parseKv
	switch os.Args[1] {
	case "register":
		model, parse = registerModel, parseRegister
	case "kv":
		model = kvModel
	case "kv-whole":
		model = wholeModel
	default:
		fail("no such model: " + os.Args[1])
	}
	limit, repeat := milliseconds(os.Args[2]), milliseconds(os.Args[3])
	var histories [][]porcupine.Event
	for _, name := range os.Args[4:] {
		histories = append(histories, parse(name))
	}

	before, peak := kilobytes("VmRSS:"), 0
	// Resets the peak that the system reports.
	os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
	verdicts := ""
	least := make([]time.Duration, len(histories))
	for begin, first := time.Now(), true; first || time.Since(begin) < repeat; first = false {
		verdicts = ""
		for i, history := range histories {
			start := time.Now()
			switch porcupine.CheckEventsTimeout(model, history, limit) {
			case porcupine.Ok:
				verdicts += "o"
			case porcupine.Illegal:
				verdicts += "i"
			default:
				verdicts += "u"
			}
			if took := time.Since(start); first || took < least[i] {
				least[i] = took
			}
		}
		if first {
			peak = kilobytes("VmHWM:")
		}
	}
	var sum time.Duration
	for _, took := range least {
		sum += took
	}
	if peak < before {
		peak = before
	}
	json.NewEncoder(os.Stdout).Encode(measurement{verdicts, sum.Nanoseconds(), peak - before})
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(2)
}

func milliseconds(text string) time.Duration {
	number, err := strconv.Atoi(text)
	if err != nil {
		fail("not a number of milliseconds: " + text)
	}
	return time.Duration(number) * time.Millisecond
}

// A figure of this process's memory from the system.
func kilobytes(what string) int {
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == what {
			number, _ := strconv.Atoi(fields[1])
			return number
		}
	}
	return 0
}

type registerInput struct {
	op       byte // 'r'ead, 'w'rite, 'c'ompare and set
	from, to int
}

type registerOutput struct {
	value   int // of a read; absent before the first write
	set     bool
	unknown bool
}

const absent = -1

var registerModel = porcupine.Model{
	Init: func() interface{} { return absent },
	Step: func(state, input, output interface{}) (bool, interface{}) {
		value, in, out := state.(int), input.(registerInput), output.(registerOutput)
		switch in.op {
		case 'r':
			return out.unknown || out.value == value, state
		case 'w':
			return true, in.to
		}
		if value == in.from {
			return out.unknown || out.set, in.to
		}
		return out.unknown || !out.set, state
	},
	Hash: func(state interface{}) uint64 { return uint64(state.(int)+1) * 0x9E3779B97F4A7C15 },
}

type kvInput struct {
	op         byte // 'g'et, 'p'ut, 'a'ppend
	key, value string
}

var seed = maphash.MakeSeed()

var kvModel = porcupine.Model{
	PartitionEvent: func(history []porcupine.Event) [][]porcupine.Event {
		partOfKey, partOfId := map[string]int{}, map[int]int{}
		var parts [][]porcupine.Event
		for _, event := range history {
			if event.Kind == porcupine.CallEvent {
				key := event.Value.(kvInput).key
				if _, ok := partOfKey[key]; !ok {
					partOfKey[key] = len(parts)
					parts = append(parts, nil)
				}
				partOfId[event.Id] = partOfKey[key]
			}
			part := partOfId[event.Id]
			parts[part] = append(parts[part], event)
		}
		return parts
	},
	Init: func() interface{} { return "" },
	Step: func(state, input, output interface{}) (bool, interface{}) {
		value, in := state.(string), input.(kvInput)
		switch in.op {
		case 'g':
			return output.(string) == value, state
		case 'p':
			return true, in.value
		}
		return true, value + in.value
	},
	Hash: func(state interface{}) uint64 { return maphash.String(seed, state.(string)) },
}

// A store without partitions: its state holds all keys.
var wholeModel = porcupine.Model{
	Init: func() interface{} { return map[string]string{} },
	Step: func(state, input, output interface{}) (bool, interface{}) {
		store, in := state.(map[string]string), input.(kvInput)
		if in.op == 'g' {
			return output.(string) == store[in.key], state
		}
		next := make(map[string]string, len(store)+1)
		for key, value := range store {
			next[key] = value
		}
		if in.op == 'p' {
			next[in.key] = in.value
		} else {
			next[in.key] += in.value
		}
		return true, next
	},
	Equal: func(one, other interface{}) bool {
		a, b := one.(map[string]string), other.(map[string]string)
		if len(a) != len(b) {
			return false
		}
		for key, value := range a {
			if b[key] != value {
				return false
			}
		}
		return true
	},
	Hash: func(state interface{}) uint64 {
		sum := uint64(0)
		for key, value := range state.(map[string]string) {
			sum += maphash.String(seed, key) ^ maphash.String(seed, value)*31
		}
		return sum
	},
}

// Finds the call of each return by the process. Operations that never returned get a return at the end.
type recorder struct {
	events  []porcupine.Event
	running map[string]int
	ids     int
}

func (r *recorder) call(process string, input interface{}) {
	r.running[process] = r.ids
	r.events = append(r.events, porcupine.Event{Kind: porcupine.CallEvent, Value: input, Id: r.ids})
	r.ids++
}

func (r *recorder) returned(process string, output interface{}) {
	id, ok := r.running[process]
	if !ok {
		fail("process " + process + " returns what it has not called")
	}
	delete(r.running, process)
	r.events = append(r.events, porcupine.Event{Kind: porcupine.ReturnEvent, Value: output, Id: id})
}

func (r *recorder) finish(output interface{}) []porcupine.Event {
	var pending []string
	for process := range r.running {
		pending = append(pending, process)
	}
	sort.Slice(pending, func(i, j int) bool { return r.running[pending[i]] < r.running[pending[j]] })
	for _, process := range pending {
		r.returned(process, output)
	}
	return r.events
}

func eachLine(name string, do func(line string)) {
	file, err := os.Open(name)
	if err != nil {
		fail(err.Error())
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<26)
	for lines.Scan() {
		do(lines.Text())
	}
	if err := lines.Err(); err != nil {
		fail(name + ": " + err.Error())
	}
}

func number(text string) int {
	if text == "nil" {
		return absent
	}
	value, err := strconv.Atoi(strings.Trim(text, "[]"))
	if err != nil {
		fail("not a number: " + text)
	}
	return value
}

func parseRegister(name string) []porcupine.Event {
	r := recorder{running: map[string]int{}}
	eachLine(name, func(line string) {
		_, line, _ = strings.Cut(line, " - ")
		word := strings.Fields(line)
		if len(word) < 4 {
			return
		}
		switch word[1] + word[2] {
		case ":invoke:read":
			r.call(word[0], registerInput{op: 'r'})
		case ":invoke:write":
			r.call(word[0], registerInput{op: 'w', to: number(word[3])})
		case ":invoke:cas":
			r.call(word[0], registerInput{op: 'c', from: number(word[3]), to: number(word[4])})
		case ":ok:read":
			r.returned(word[0], registerOutput{value: number(word[3])})
		case ":fail:read":
			r.returned(word[0], registerOutput{unknown: true})
		case ":ok:write":
			r.returned(word[0], registerOutput{})
		case ":ok:cas", ":fail:cas":
			r.returned(word[0], registerOutput{set: word[1] == ":ok"})
		}
	})
	return r.finish(registerOutput{unknown: true})
}

func parseKv(name string) []porcupine.Event {
	r := recorder{running: map[string]int{}}
	eachLine(name, func(line string) {
		field := map[string]string{}
		for _, pair := range strings.Split(strings.Trim(line, "{}"), ", ") {
			key, value, _ := strings.Cut(pair, " ")
			field[key] = strings.Trim(value, "\"")
		}
		process := field[":process"]
		switch field[":type"] {
		case ":invoke":
			r.call(process, kvInput{field[":f"][1], field[":key"], field[":value"]})
		case ":ok":
			r.returned(process, field[":value"])
		}
	})
	return r.finish("")
}
