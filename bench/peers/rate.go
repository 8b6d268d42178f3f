// SPDX-License-Identifier: Apache-2.0
// The rate limiter of golang.org/x/time, with the settings of guard.c: a grant, and a refusal.
package main

import (
	"fmt"
	"sort"
	"time"

	"golang.org/x/time/rate"
)

// As in guard.c: the best of many short pieces, so that other work on the machine disturbs it little.
const calls = 2000
const pieces = 2000

func measure(limiter *rate.Limiter, wanted bool) float64 {
	var rounds []float64
	for piece := 0; piece < pieces; piece++ {
		begun := time.Now()
		for i := 0; i < calls; i++ {
			if limiter.Allow() != wanted {
				panic("not what is measured")
			}
		}
		rounds = append(rounds, float64(time.Since(begun).Nanoseconds())/calls)
	}
	sort.Float64s(rounds)
	return rounds[0]
}

func main() {
	fmt.Printf("grant\t%.1f\n", measure(rate.NewLimiter(1e9, 1e9), true))
	empty := rate.NewLimiter(1e-9, 1)
	empty.Allow()
	fmt.Printf("deny\t%.1f\n", measure(empty, false))
}
