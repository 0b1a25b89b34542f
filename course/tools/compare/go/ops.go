package lab

// Part of course/tools/compare. One client makes a fixed number of operations: memory can then be compared.

import (
	"fmt"
	"testing"
	"time"
)

const compareOperations = 3000

func TestCompareOperations(t *testing.T) {
	cfg := make_config(t, 5, false, -1)
	defer cfg.cleanup()
	ck := cfg.makeClient(cfg.All())
	ck.Put("0", "")
	rpcs := cfg.rpcTotal()
	start := time.Now()
	for i := 0; i < compareOperations/2; i++ {
		ck.Append("0", fmt.Sprintf("x 0 %d y", i))
		ck.Get("0")
	}
	seconds := time.Since(start).Seconds()
	fmt.Printf("  ... Passed --  %.3f  5 %d %d\n", seconds, cfg.rpcTotal()-rpcs, compareOperations)
}
