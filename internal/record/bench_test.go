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
	benchmark(b, newTest, func(p *Protection, content []byte) (bare, record func()) {
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
			p.goTo(0)
			for range batch {
				p.Seal(buf, TypeApplicationData, content)
			}
		}
		return bare, record
	})
}

func BenchmarkSeal12(b *testing.B) {
	benchmark(b, newTest12, func(p *Protection, content []byte) (bare, record func()) {
		buf, out := make([]byte, 0, len(content)+MaxOverhead), make([]byte, 0, len(content)+TagLen)
		data := make([]byte, 8+HeaderLen)
		bare = func() {
			for range batch {
				p.aead.Seal(out, p.nonce[:], content, data)
			}
		}
		record = func() {
			p.goTo(0)
			for range batch {
				p.Seal(buf, TypeApplicationData, content)
			}
		}
		return bare, record
	})
}

func BenchmarkOpen(b *testing.B) {
	benchmark(b, newTest, benchmarkOpen(func(p *Protection, record []byte) (body, data []byte) {
		return record[HeaderLen:], record[:HeaderLen]
	}))
}

func BenchmarkOpen12(b *testing.B) {
	benchmark(b, newTest12, benchmarkOpen(func(p *Protection, record []byte) (body, data []byte) {
		data = p.additionalData(record, len(record)-p.Overhead())
		return record[p.Overhead()-TagLen:], append([]byte(nil), data...)
	}))
}

// benchmarkOpen prepares records; parts are what the bare cipher is given of one, before it moves p.
func benchmarkOpen(parts func(p *Protection, record []byte) (body, data []byte)) prepare {
	return func(p *Protection, content []byte) (bare, record func()) {
		var records, nonces, bodies, data, work [][]byte
		for range batch {
			nonces = append(nonces, append([]byte(nil), p.nonce[:]...))
			records = append(records, p.Seal(nil, TypeApplicationData, content))
			work = append(work, make([]byte, len(content)+p.Overhead()))
		}
		for i := range batch {
			p.goTo(uint64(i))
			copy(work[i], records[i])
			body, d := parts(p, work[i])
			bodies, data = append(bodies, body), append(data, d)
		}
		restore := func(i int) []byte { // part of both sides, and cheap beside them
			copy(work[i], records[i])
			return work[i]
		}
		bare = func() {
			for i := range batch {
				restore(i)
				if _, err := p.aead.Open(bodies[i][:0], nonces[i], bodies[i], data[i]); err != nil {
					panic(err)
				}
			}
		}
		record = func() {
			p.goTo(0)
			for i := range batch {
				if _, _, err := p.Open(restore(i)); err != nil {
					panic(err)
				}
			}
		}
		return bare, record
	}
}

type prepare func(p *Protection, content []byte) (bare, record func())

func benchmark(b *testing.B, protection func(testing.TB, AEAD) *Protection, prepare prepare) {
	for _, a := range algorithms {
		for _, size := range []int{100, 1 << 10, 16 << 10} {
			b.Run(fmt.Sprintf("%v/%d", a, size), func(b *testing.B) {
				bare, record := prepare(protection(b, a), make([]byte, size))
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
