package load

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
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
		kept[clients[i]] = &httpConn{conn: conn, in: bufio.NewReaderSize(conn, 64<<10), request: request}
	}
	return Closed(clients, conns, duration, func(d *Device) error { return kept[d].exchange(raw.Bytes()) })
}

type httpConn struct {
	conn    net.Conn
	in      *bufio.Reader
	request *http.Request
}

func (c *httpConn) exchange(raw []byte) error {
	if _, err := c.conn.Write(raw); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.in, c.request)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || n == 0) {
		err = fmt.Errorf("%s: %s, %d bytes", c.request.URL.Path, resp.Status, n)
	}
	return err
}
