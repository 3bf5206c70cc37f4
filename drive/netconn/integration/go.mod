module tlscore.example/tlscore/drive/netconn/integration

go 1.26.0

require (
	golang.org/x/net v0.62.0
	tlscore.example/tlscore v0.0.0
)

require (
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace tlscore.example/tlscore => ../../..
