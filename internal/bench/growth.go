package main

import (
	"fmt"
	"math"
	"strings"
)

// line is one of those of a growthChart. A goal is drawn dashed.
type line struct {
	name   string
	points []point
	goal   bool
}

// point is how many connections there are, and the bytes of memory that they take.
type point struct{ connections, bytes float64 }

// growthChart draws how memory grows with connections.
func growthChart(lines []line) string {
	var b strings.Builder
	draw := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	beginChart(draw, "Memory of connections with one subscription each", "heap and stacks of the server")
	var most point
	for _, l := range lines {
		for _, p := range l.points {
			most = point{max(most.connections, p.connections), max(most.bytes, p.bytes)}
		}
	}
	xStep, yStep := gridStep(most.connections), gridStep(most.bytes)
	most.bytes = yStep * math.Ceil(most.bytes/yStep)
	x := func(connections float64) float64 { return left + connections/most.connections*(right-left) }
	y := func(bytes float64) float64 { return bottom - bytes/most.bytes*(bottom-top) }
	for at := 0.; at <= most.bytes; at += yStep {
		draw(`<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, left, right, y(at), y(at))
		draw(`<text x="%d" y="%.1f" text-anchor="end">%.0f MB</text>`, left-8, y(at)+4, at/1e6)
	}
	for at := 0.; at <= most.connections; at += xStep {
		draw(`<text x="%.1f" y="%d" text-anchor="middle">%s</text>`, x(at), bottom+22, thousands(int(at)))
	}
	for i, l := range lines {
		draw(`<g class="%c">`, 'a'+i)
		path := []string{fmt.Sprintf("%.1f,%.1f", x(0), y(0))}
		dashes := ""
		if l.goal {
			dashes = ` stroke-dasharray="5 4"`
		}
		for _, p := range l.points {
			path = append(path, fmt.Sprintf("%.1f,%.1f", x(p.connections), y(p.bytes)))
			if !l.goal {
				draw(`<circle cx="%.1f" cy="%.1f" r="4.5"/>`, x(p.connections), y(p.bytes))
			}
		}
		end := l.points[len(l.points)-1]
		draw(`<path%s d="M%s"/>`, dashes, strings.Join(path, " L"))
		draw(`<text class="name" x="%.1f" y="%.1f">%s</text>`, x(end.connections)+9, y(end.bytes)+4, l.name)
		draw(`</g>`)
	}
	draw(`</svg>`)
	return b.String()
}

// gridStep returns a round number that fits into most two to ten times.
func gridStep(most float64) float64 {
	step := math.Pow10(int(math.Floor(math.Log10(most)))) / 2
	if most > 10*step {
		step *= 2
	}
	return step
}
