package record

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkSeal and BenchmarkOpen compare a record with the bare cipher over the same bytes. The two take turns, batch
// by batch, so that a change of clock speed meets both; the fastest batch of each counts.

const batch = 32

func BenchmarkSeal(b *testing.B) {
	benchmark(b, func(p *Protection, content []byte) (bare, record func()) {
		buf := make([]byte, 0, len(content)+Overhead)
		inner := append(make([]byte, 0, len(content)+1+TagLen), content...)
		inner = append(inner, byte(TypeApplicationData))
		header := AppendHeader(nil, TypeApplicationData, VersionTLS12, len(inner)+TagLen)
		bare = func() {
			for range batch {
				p.aead.Seal(inner[:0], p.nonce[:], inner, header)
			}
		}
		record = func() {
			p.seq = 0
			for range batch {
				p.Seal(buf, TypeApplicationData, content)
			}
		}
		return bare, record
	})
}

func BenchmarkOpen(b *testing.B) {
	benchmark(b, func(p *Protection, content []byte) (bare, record func()) {
		var records, nonces, work [][]byte
		for range batch {
			nonces = append(nonces, append([]byte(nil), p.nextNonce()...))
			records = append(records, p.Seal(nil, TypeApplicationData, content))
			work = append(work, make([]byte, len(content)+Overhead))
		}
		restore := func(i int) []byte { // part of both sides, and cheap beside them
			copy(work[i], records[i])
			return work[i]
		}
		bare = func() {
			for i := range batch {
				r := restore(i)
				if _, err := p.aead.Open(r[HeaderLen:HeaderLen], nonces[i], r[HeaderLen:], r[:HeaderLen]); err != nil {
					b.Fatal(err)
				}
			}
		}
		record = func() {
			p.seq = 0
			for i := range batch {
				if _, _, err := p.Open(restore(i)); err != nil {
					b.Fatal(err)
				}
			}
		}
		return bare, record
	})
}

func benchmark(b *testing.B, prepare func(p *Protection, content []byte) (bare, record func())) {
	for _, a := range algorithms {
		for _, size := range []int{100, 1 << 10, 16 << 10} {
			b.Run(fmt.Sprintf("%v/%d", a, size), func(b *testing.B) {
				bare, record := prepare(newTest(b, a), make([]byte, size))
				minBare, minRecord := time.Hour, time.Hour
				for b.Loop() {
					start := time.Now()
					bare()
					middle := time.Now()
					record()
					minBare, minRecord = min(minBare, middle.Sub(start)), min(minRecord, time.Since(middle))
				}
				b.ReportMetric(0, "ns/op") // of a pair of batches, and so no use
				b.ReportMetric(float64(minBare.Nanoseconds())/batch, "bare-ns")
				b.ReportMetric(float64(minRecord.Nanoseconds())/batch, "record-ns")
				b.ReportMetric(float64(minRecord)/float64(minBare), "ratio")
			})
		}
	}
}
