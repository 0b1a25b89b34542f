package lab

// Part of course/tools/compare. Measures the time of an RPC on a reliable network.

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

const compareRPCs = 100000

func compareRPC(t *testing.T, callers int) {
	net := MakeNetwork()
	defer net.Cleanup()
	server := MakeServer()
	server.AddService(MakeService(&JunkServer{}))
	net.AddServer("server", server)

	start := time.Now()
	var wg sync.WaitGroup
	for c := 0; c < callers; c++ {
		end := net.MakeEnd(c)
		net.Connect(c, "server")
		net.Enable(c, true)
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := 0; i < compareRPCs/callers; i++ {
				reply := ""
				if !end.Call("JunkServer.Handler2", 111, &reply) || reply != "handler2-111" {
					t.Error("wrong reply")
					return
				}
			}
		}()
	}
	wg.Wait()
	seconds := time.Since(start).Seconds()
	fmt.Printf("  ... Passed --  %.3f  1 %d %d\n", seconds, compareRPCs, compareRPCs)
}

func TestCompareSequential(t *testing.T) { compareRPC(t, 1) }

func TestCompareTwentyCallers(t *testing.T) { compareRPC(t, 20) }
