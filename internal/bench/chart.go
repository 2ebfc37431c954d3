package main

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// The chart's size and where its axes are, in pixels.
const (
	chartWidth, chartHeight   = 760, 400
	left, right, top, bottom  = 70, 540, 56, 350
	shortest, longest         = 100 * time.Nanosecond, 10 * time.Second
	decades                   = 8
	ink, paper                = "#1f2328", "#ffffff"
	inkInTheDark, paperInDark = "#e6edf3", "#0d1117"
)

// chart draws the times of the lists over the number of pulls, both on logarithmic scales.
func chart(all []*figures) string {
	var b strings.Builder
	draw := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	beginChart(draw, "Time to list the active pulls", "half of the answers are as fast as the dot, 99% are within the bar")
	for d := range decades + 1 {
		at := time.Duration(float64(shortest) * math.Pow10(d))
		draw(`<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, left, right, height(at), height(at))
		draw(`<text x="%d" y="%.1f" text-anchor="end">%s</text>`, left-8, height(at)+4, round(at))
	}
	column := func(i int) float64 {
		const margin = 40
		if len(all) == 1 {
			return (left + right) / 2
		}
		return left + margin + float64(i)*(right-left-2*margin)/float64(len(all)-1)
	}
	for i, f := range all {
		draw(`<text x="%.1f" y="%d" text-anchor="middle">%s pulls</text>`, column(i), bottom+22, thousands(f.pulls))
	}
	for i, name := range []string{fromKubernetes, fromRedisNew, fromRedisSame, fromMemory} {
		draw(`<g class="%c">`, 'a'+i)
		var path []string
		var end float64
		for j, f := range all {
			r := f.find(name)
			end = height(r.percentile(50))
			path = append(path, fmt.Sprintf("%.1f,%.1f", column(j), end))
			draw(`<line class="whisker" x1="%[1]f" x2="%[1]f" y1="%.1[2]f" y2="%.1[3]f"/>`, column(j), end, height(r.percentile(99)))
			draw(`<circle cx="%.1f" cy="%.1f" r="4.5"/>`, column(j), end)
		}
		draw(`<path d="M%s"/>`, strings.Join(path, " L"))
		draw(`<text class="name" x="%d" y="%.1f">%s</text>`, right+4, end+4, name)
		draw(`</g>`)
	}
	draw(`</svg>`)
	return b.String()
}

// height returns where a time is drawn.
func height(d time.Duration) float64 {
	part := math.Log10(float64(min(max(d, shortest), longest))/float64(shortest)) / decades
	return bottom - part*(bottom-top)
}

// beginChart draws what is the same in all charts.
func beginChart(draw func(format string, args ...any), title, subtitle string) {
	draw(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="%s">`,
		chartWidth, chartHeight, title)
	draw(`<style>
.paper { fill: %s } text { fill: %s } .grid { stroke: %s; stroke-opacity: .15 }
.a { --c: #cf222e } .b { --c: #9a6700 } .c { --c: #0969da } .d { --c: #1a7f37 }
path, line.whisker { stroke: var(--c); fill: none; stroke-width: 2 } line.whisker { stroke-opacity: .45; stroke-width: 5 }
circle, text.name { fill: var(--c) }
@media (prefers-color-scheme: dark) {
.paper { fill: %s } text { fill: %s } .grid { stroke: %s }
.a { --c: #ff7b72 } .b { --c: #d29922 } .c { --c: #58a6ff } .d { --c: #3fb950 }
circle, text.name { fill: var(--c) }
}
</style>`, paper, ink, ink, paperInDark, inkInTheDark, inkInTheDark)
	draw(`<rect class="paper" width="%d" height="%d" rx="6"/>`, chartWidth, chartHeight)
	draw(`<text x="%d" y="24" font-size="15" font-weight="600">%s</text>`, left, title)
	draw(`<text x="%d" y="42" font-size="12">%s</text>`, left, subtitle)
}
