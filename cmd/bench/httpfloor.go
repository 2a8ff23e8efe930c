package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
)

// httpFloorCmd is the least that an answer over net/http can cost: constant bytes, by
// path, with the headers that the product sends. No signature is looked at.
type httpFloorCmd struct {
	Answers string `arg:"" type:"existingfile" help:"JSON file with the answer of each path."`
}

// Run serves until the process is ended.
func (c *httpFloorCmd) Run(ctx context.Context) error {
	b, err := os.ReadFile(c.Answers)
	if err != nil {
		return err
	}
	var texts answers
	if err := json.Unmarshal(b, &texts); err != nil {
		return err
	}
	type answer struct {
		body   []byte
		length []string
	}
	ready := make(map[string]answer, len(texts))
	for path, text := range texts {
		ready[path] = answer{[]byte(text), []string{fmt.Sprint(len(text))}}
	}
	contentType, requestID := []string{"application/json"}, []string{"00000000-0000-4000-8000-000000000000"}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := ready[r.RequestURI]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		h := w.Header()
		h["Content-Type"], h["x-amzn-RequestId"], h["Content-Length"] = contentType, requestID, a.length
		_, _ = w.Write(a.body)
	})}
	go func() {
		<-ctx.Done()
		srv.Close()
	}()
	if err := srv.Serve(ln); ctx.Err() == nil {
		return err
	}
	return nil
}
