package main

import (
	"fmt"
	"math/rand/v2"
)

// chunker says how many bytes of input the machine is given at a time.
type chunker func(available int) int

// newChunker chooses by name, or by the shim id when there is none.
func newChunker(name string, id uint64) (chunker, error) {
	if name == "" {
		name = []string{"whole", "bytes", "random"}[id%3]
	}
	switch name {
	case "whole":
		return func(available int) int { return available }, nil
	case "bytes":
		return func(int) int { return 1 }, nil
	case "random":
		r := rand.New(rand.NewPCG(id, 0))
		return func(available int) int { return 1 + r.IntN(min(available, 600)) }, nil
	}
	return nil, fmt.Errorf("no chunking is called %q", name)
}
