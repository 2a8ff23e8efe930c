package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// HTTP runs a closed loop of one request, sent again and again as it is, over so many
// kept connections. What a client would do beside that is left out: the request is made
// once, and of the answer only status and length are looked at.
func HTTP(addr string, request *http.Request, conns int, duration time.Duration) (*Result, error) {
	var raw bytes.Buffer
	if err := request.Write(&raw); err != nil {
		return nil, err
	}
	clients := make([]*Device, conns)
	kept := make(map[*Device]*httpConn, conns)
	for i := range clients {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		clients[i] = new(Device)
		kept[clients[i]] = &httpConn{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
	}
	return Closed(clients, conns, duration, func(d *Device) error { return kept[d].exchange(raw.Bytes()) })
}

type httpConn struct {
	conn net.Conn
	in   *bufio.Reader
}

func (c *httpConn) exchange(raw []byte) error {
	if _, err := c.conn.Write(raw); err != nil {
		return err
	}
	return skipAnswer(c.in)
}

// skipAnswer reads an answer that must be a good one, with a body of a length given.
func skipAnswer(in *bufio.Reader) error {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("answered %q", line)
	}
	length := 0
	for {
		if line, err = in.ReadSlice('\n'); err != nil {
			return err
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			break // the empty line
		}
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if length == 0 {
		return errors.New("answered without a body, or without its length")
	}
	_, err = in.Discard(length)
	return err
}
