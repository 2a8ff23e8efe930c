package load

import (
	"bytes"
	"testing"
)

func TestParse(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 300) // its length takes two bytes
	for _, tt := range []struct {
		name string
		in   []byte
		want Packet
	}{
		{"QoS 0", AppendPublish(nil, 0, "a/b", []byte("hello")), Packet{typePublish, 0, []byte("a/b"), []byte("hello")}},
		{"QoS 1", AppendPublish(nil, 7, "a", long), Packet{typePublish, 7, []byte("a"), long}},
		{"PUBACK", AppendPuback(nil, 0x8001), Packet{typePuback, 0x8001, nil, nil}},
		{"SUBACK", []byte{0x90, 4, 0, 3, 1, 0x80}, Packet{0x90, 3, nil, []byte{1, 0x80}}},
		{"CONNACK", []byte{0x20, 2, 0, 5}, Packet{typeConnack, 0, nil, []byte{0, 5}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for n := range tt.in {
				if _, _, err := parse(tt.in[:n]); err != errShort {
					t.Errorf("%d of %d bytes: %v, want errShort", n, len(tt.in), err)
				}
			}
			got, size, err := parse(append(bytes.Clone(tt.in), "next"...))
			if err != nil || size != len(tt.in) {
				t.Fatalf("size %d, %v, want %d", size, err, len(tt.in))
			}
			if got.Type != tt.want.Type || got.ID != tt.want.ID || !bytes.Equal(got.Topic, tt.want.Topic) || !bytes.Equal(got.Payload, tt.want.Payload) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestParseMalformed(t *testing.T) {
	for _, in := range [][]byte{
		{0x30, 0xff, 0xff, 0xff, 0xff, 1}, // five bytes of length
		{0x30, 1, 0},                      // no topic
		{0x30, 3, 0, 9, 'a'},              // topic longer than the packet
		{0x32, 3, 0, 1, 'a'},              // QoS 1 without an identifier
		{0x40, 1, 0},
	} {
		if _, _, err := parse(in); err == nil || err == errShort {
			t.Errorf("parse(%x) gave %v, want an error", in, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(AppendPublish(nil, 7, "a/b", []byte("hello")))
	f.Add([]byte{0x20, 2, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, size, err := parse(b); err == nil && size > len(b) {
			t.Errorf("%d bytes of %d", size, len(b))
		}
	})
}

func TestMember(t *testing.T) {
	doc := []byte(`{"execution":{"jobId":"j-1","status":"QUEUED"},"clientToken":"t"}`)
	for name, want := range map[string]string{"jobId": "j-1", "clientToken": "t", "thingName": ""} {
		if got := string(Member(doc, name)); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := Member([]byte(`{"jobId":"cut`), "jobId"); got != nil {
		t.Errorf("a value without end is %q", got)
	}
}
