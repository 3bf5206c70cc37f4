package sansio_test

import (
	"fmt"

	"tlscore.example/tlscore/sansio"
)

// A server is fed two frames and a half, in pieces that fit no frame. Its loop
// answers the data while it goes.
func ExamplePump() {
	server := newToyServer()
	p := sansio.NewPump(server)

	in := wire("hello", "how are you", "???")
	for _, piece := range [][]byte{in[:4], in[4:20]} {
		p.Feed(piece)
		for ev := range p.Events() {
			fmt.Println(ev)
			if ev.Kind == toyData {
				server.Write("fine")
			}
		}
	}
	p.EOF()
	for ev := range p.Events() {
		fmt.Println(ev)
	}
	fmt.Printf("left over: %q\n", p.Rest())
	fmt.Printf("to send: %q\n", server.Output())
	// Output:
	// none ""
	// hello "hello"
	// ready ""
	// data "how are you"
	// none ""
	// failed "cut off"
	// left over: "\x03?"
	// to send: "\aWELCOME\x04FINE\x0eERROR: CUT OFF"
}

// The body of the loop may stop pulling. Nothing more is taken until it goes
// on.
func ExamplePump_Events_backPressure() {
	p := sansio.NewPump(newToyServer())
	p.Feed(wire("hello", "one", "two"))
	for ev := range p.Events() {
		if ev.Kind == toyData {
			fmt.Printf("%s, then a pause with %d bytes left\n", ev, len(p.Rest()))
			break
		}
	}
	for ev := range p.Events() {
		fmt.Println(ev)
	}
	// Output:
	// data "one", then a pause with 4 bytes left
	// data "two"
	// none ""
}

// Two machines talk. The server refuses, and is at its end at once; its last
// word still arrives.
func ExamplePair() {
	client, server := newToyClient(), newToyServer()
	server.ask = true

	p := sansio.NewPair(1, client, server)
	p.Choose = sansio.InOrder
	p.OnA = func(ev toyEvent) { fmt.Println("client:", ev) }
	p.OnB = func(ev toyEvent) {
		fmt.Println("server:", ev)
		if ev.Kind == toyHello {
			_ = server.Answer(false)
		}
		if ev.Terminal() {
			p.CloseB() // ends the transport behind the output
		}
	}
	fmt.Println(p.Run(100))
	// Output:
	// server: hello "hello"
	// server: failed "refused"
	// client: failed "peer's error: refused"
	// <nil>
}

// A bad wire: pieces of up to four bytes, delayed, and cut after twelve bytes.
// The same seed gives the same again.
func ExampleLink() {
	l := sansio.NewLink(7, sansio.Faults{Split: 4, Delay: 2, Truncate: true, TruncateAt: 12})
	l.Tap = func(d sansio.Delivery) {
		fmt.Printf("tick %d, byte %2d: %q, EOF %t\n", d.Tick, d.At, d.Data, d.EOF)
	}
	l.Send([]byte("hello, world, hello"))
	for l.InFlight() {
		if _, ok := l.Receive(); !ok {
			l.Tick()
		}
	}
	// Output:
	// tick 2, byte  0: "he", EOF false
	// tick 2, byte  2: "llo,", EOF false
	// tick 2, byte  6: " w", EOF false
	// tick 3, byte  8: "or", EOF false
	// tick 3, byte 10: "l", EOF false
	// tick 4, byte 11: "d", EOF false
	// tick 5, byte 12: "", EOF true
}

// In a test, t is the *testing.T.
func ExampleCheck() {
	var t exampleTB
	sansio.Check(t, sansio.Case[toyEvent]{
		New: func() (sansio.Machine[toyEvent], func(toyEvent)) {
			m := newToyServer()
			return m, func(ev toyEvent) {
				if ev.Kind == toyData {
					m.Write("echo: " + string(ev.Data))
				}
			}
		},
		Describe: toyEvent.String,
		Input:    wire("hello", "one", "two", ""),
	})
	fmt.Println("the contract holds")
	// Output: the contract holds
}

type exampleTB struct{}

func (exampleTB) Helper()                           {}
func (exampleTB) Fatalf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
