package podlog

import "slices"

// mergeLines puts the lines of several containers into the order of their timestamps, as far as that leaves each
// container's lines in the order in which they came.
func mergeLines(chunks []chunk) []Line {
	var sources [][][]Line
	index := map[sourceKey]int{}
	total := 0
	for _, c := range chunks {
		if len(c.lines) == 0 {
			continue
		}
		i, ok := index[c.key]
		if !ok {
			i = len(sources)
			index[c.key] = i
			sources = append(sources, nil)
		}
		sources[i] = append(sources[i], c.lines)
		total += len(c.lines)
	}
	lines := make([]Line, 0, total)
	for len(sources) > 1 {
		earliest := 0
		for i, parts := range sources {
			if parts[0][0].Timestamp.Before(sources[earliest][0][0].Timestamp) {
				earliest = i
			}
		}
		parts := sources[earliest]
		lines = append(lines, parts[0][0])
		if parts[0] = parts[0][1:]; len(parts[0]) > 0 {
			continue
		}
		if sources[earliest] = parts[1:]; len(parts) == 1 {
			sources = slices.Delete(sources, earliest, earliest+1)
		}
	}
	for _, parts := range sources {
		for _, part := range parts {
			lines = append(lines, part...)
		}
	}
	return lines
}
