module tlscore.example/tlscore/drive/uring

go 1.26.0

require (
	golang.org/x/sys v0.50.0
	tlscore.example/tlscore v0.0.0
)

require golang.org/x/crypto v0.58.0 // indirect

replace tlscore.example/tlscore => ../..
