package kv

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
	"time"
)

// The stream that Export writes and Import reads, the same for every store:
//
//	"thingjobs-kv" version(1 byte) clock(8 bytes, Unix nanoseconds)
//	entries: kind(1 byte) len(uvarint) key, then
//	         for a value len(uvarint) bytes, for a counter 8 bytes
//	kind 0, number of entries(uvarint), CRC-32C of everything before(4 bytes)
//
// Fixed-width integers are big-endian.
const (
	dumpMagic   = "thingjobs-kv"
	dumpVersion = 1

	dumpEnd     = 0
	dumpValue   = 1
	dumpCounter = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrDump: the stream given to Import is not a complete, undamaged export.
var ErrDump = errors.New("kv: bad export stream")

// ErrNotEmpty: Import was called on a store with something in it.
var ErrNotEmpty = errors.New("kv: store is not empty")

// DumpEntry is one key of an export: a value, or a counter when IsCounter.
type DumpEntry struct {
	Key, Value []byte
	Counter    int64
	IsCounter  bool
}

// DumpWriter writes an export stream. Its first error sticks and is returned by
// all later calls.
type DumpWriter struct {
	w   *bufio.Writer
	sum hash.Hash32
	n   uint64
	buf []byte
	err error
}

// NewDumpWriter begins a stream on w. clock is a time not before any that the
// store's Now has given out for what is in the export.
func NewDumpWriter(w io.Writer, clock time.Time) *DumpWriter {
	sum := crc32.New(castagnoli)
	d := &DumpWriter{w: bufio.NewWriterSize(io.MultiWriter(w, sum), 64<<10), sum: sum}
	head := append([]byte(dumpMagic), dumpVersion)
	d.write(binary.BigEndian.AppendUint64(head, uint64(clock.UnixNano())))
	return d
}

// Write adds one entry.
func (d *DumpWriter) Write(e DumpEntry) error {
	kind := byte(dumpValue)
	if e.IsCounter {
		kind = dumpCounter
	}
	d.buf = append(d.buf[:0], kind)
	d.buf = binary.AppendUvarint(d.buf, uint64(len(e.Key)))
	d.buf = append(d.buf, e.Key...)
	if e.IsCounter {
		d.buf = binary.BigEndian.AppendUint64(d.buf, uint64(e.Counter))
	} else {
		d.buf = binary.AppendUvarint(d.buf, uint64(len(e.Value)))
		d.buf = append(d.buf, e.Value...)
	}
	d.n++
	return d.write(d.buf)
}

// Close writes the end of the stream. It does not close the underlying writer.
func (d *DumpWriter) Close() error {
	d.write(binary.AppendUvarint([]byte{dumpEnd}, d.n))
	// The sum covers what was written so far, so everything must have left the
	// buffer before it is taken.
	if d.err == nil {
		d.err = d.w.Flush()
	}
	d.write(binary.BigEndian.AppendUint32(nil, d.sum.Sum32()))
	if d.err == nil {
		d.err = d.w.Flush()
	}
	return d.err
}

func (d *DumpWriter) write(p []byte) error {
	if d.err == nil {
		_, d.err = d.w.Write(p)
	}
	return d.err
}

// DumpReader reads an export stream.
type DumpReader struct {
	r     *sumReader
	clock time.Time
	n     uint64
}

// NewDumpReader reads the head of the stream in r.
func NewDumpReader(r io.Reader) (*DumpReader, error) {
	d := &DumpReader{r: &sumReader{r: bufio.NewReaderSize(r, 64<<10)}}
	head := make([]byte, len(dumpMagic)+1+8)
	if _, err := io.ReadFull(d.r, head); err != nil || string(head[:len(dumpMagic)]) != dumpMagic {
		return nil, fmt.Errorf("%w: not an export", ErrDump)
	}
	if v := head[len(dumpMagic)]; v != dumpVersion {
		return nil, fmt.Errorf("%w: version %d, this program reads %d", ErrDump, v, dumpVersion)
	}
	d.clock = time.Unix(0, int64(binary.BigEndian.Uint64(head[len(dumpMagic)+1:])))
	return d, nil
}

// Clock is the time the stream was begun with; the importing store's Now goes
// on from there.
func (d *DumpReader) Clock() time.Time { return d.clock }

// Read gives the next entry, in memory of its own. It returns io.EOF only after
// the end of the stream was found and its count and checksum were right.
func (d *DumpReader) Read() (DumpEntry, error) {
	kind, err := d.r.ReadByte()
	if err != nil {
		return DumpEntry{}, dumpError(err)
	}
	if kind == dumpEnd {
		return DumpEntry{}, d.end()
	}
	e := DumpEntry{IsCounter: kind == dumpCounter}
	if kind > dumpCounter {
		return DumpEntry{}, fmt.Errorf("%w: unknown kind of entry %d", ErrDump, kind)
	}
	if e.Key, err = d.bytes(MaxKeyBytes); err != nil {
		return DumpEntry{}, err
	}
	if e.IsCounter {
		var n [8]byte
		if _, err := io.ReadFull(d.r, n[:]); err != nil {
			return DumpEntry{}, dumpError(err)
		}
		e.Counter = int64(binary.BigEndian.Uint64(n[:]))
	} else if e.Value, err = d.bytes(MaxValueBytes); err != nil {
		return DumpEntry{}, err
	}
	d.n++
	return e, nil
}

func (d *DumpReader) end() error {
	n, err := binary.ReadUvarint(d.r)
	if err != nil {
		return dumpError(err)
	}
	want := d.r.sum
	var sum [4]byte
	if _, err := io.ReadFull(d.r, sum[:]); err != nil {
		return dumpError(err)
	}
	if n != d.n || binary.BigEndian.Uint32(sum[:]) != want {
		return fmt.Errorf("%w: wrong checksum", ErrDump)
	}
	return io.EOF
}

func (d *DumpReader) bytes(limit uint64) ([]byte, error) {
	n, err := binary.ReadUvarint(d.r)
	if err != nil {
		return nil, dumpError(err)
	}
	if n > limit || n > math.MaxInt32 {
		return nil, fmt.Errorf("%w: %d bytes in one field", ErrDump, n)
	}
	p := make([]byte, n)
	if _, err := io.ReadFull(d.r, p); err != nil {
		return nil, dumpError(err)
	}
	return p, nil
}

// dumpError says that a stream ended early, which io.EOF must not: it means a
// good end to callers of Read.
func dumpError(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: it ends early", ErrDump)
	}
	return err
}

// sumReader keeps the CRC of all that was read through it.
type sumReader struct {
	r   *bufio.Reader
	sum uint32
	one [1]byte
}

func (s *sumReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.sum = crc32.Update(s.sum, castagnoli, p[:n])
	return n, err
}

func (s *sumReader) ReadByte() (byte, error) {
	c, err := s.r.ReadByte()
	if err == nil {
		s.one[0] = c
		s.sum = crc32.Update(s.sum, castagnoli, s.one[:])
	}
	return c, err
}
