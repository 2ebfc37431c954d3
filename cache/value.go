package cache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/s2"

	"pullwatch/pull"
)

// A list's content in Redis is a byte that tells how the rest is packed; unpacked that is the number of pulls and, for
// each, its length and its binary form. Its stamp is a checksum, so that content that is the same has the same stamp,
// whoever wrote it.
const (
	packedNot byte = 0
	packedS2  byte = 1
)

const (
	// packFrom is the size from which on less to send is worth the packing.
	packFrom = 4 << 10
	// maxContent bounds what is unpacked; 100,000 pulls take about half of it.
	maxContent = 64 << 20
)

var (
	errChecksum = errors.New("its checksum is wrong")
	errPacking  = errors.New("it is packed in an unknown way")
	errTooLarge = fmt.Errorf("it is larger than %d bytes", maxContent)
	errEnd      = errors.New("it does not end where it should")
)

// encodeJobs returns the content of a list and its stamp.
func encodeJobs(jobs []*pull.Job) (data []byte, stamp string, err error) {
	content := binary.AppendUvarint([]byte{packedNot}, uint64(len(jobs)))
	var one []byte
	for _, job := range jobs {
		if one, err = job.AppendBinary(one[:0]); err != nil {
			return nil, "", fmt.Errorf("encode pull %s: %w", job.ID, err)
		}
		content = binary.AppendUvarint(content, uint64(len(one)))
		content = append(content, one...)
	}
	if len(content) > maxContent {
		return nil, "", fmt.Errorf("encode list: %w", errTooLarge)
	}
	data = content
	if len(content) >= packFrom {
		data = append([]byte{packedS2}, s2.Encode(nil, content[1:])...)
	}
	return data, stampOf(data), nil
}

// decodeJobs returns the pulls of a list's content.
func decodeJobs(data []byte, stamp string) ([]*pull.Job, error) {
	if stampOf(data) != stamp || len(data) == 0 {
		return nil, errChecksum
	}
	content := data[1:]
	switch data[0] {
	case packedNot:
	case packedS2:
		n, err := s2.DecodedLen(content)
		if err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
		if n > maxContent {
			return nil, errTooLarge
		}
		if content, err = s2.Decode(nil, content); err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
	default:
		return nil, errPacking
	}
	count, content, ok := cutUvarint(content)
	if !ok || count > uint64(len(content)) {
		return nil, errEnd
	}
	jobs := make([]*pull.Job, count)
	for i := range jobs {
		var size uint64
		if size, content, ok = cutUvarint(content); !ok || size > uint64(len(content)) {
			return nil, errEnd
		}
		jobs[i] = new(pull.Job)
		if err := jobs[i].UnmarshalBinary(content[:size]); err != nil {
			return nil, err
		}
		content = content[size:]
	}
	if len(content) > 0 {
		return nil, errEnd
	}
	return jobs, nil
}

// cutUvarint returns the number that b begins with and what follows it.
func cutUvarint(b []byte) (n uint64, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 {
		return 0, nil, false
	}
	return n, b[size:], true
}

func stampOf(data []byte) string { return strconv.FormatUint(xxhash.Sum64(data), 16) }
