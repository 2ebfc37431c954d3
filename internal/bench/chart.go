package main

import (
	"bytes"
	"os"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// line is one of those of a chart. Its name stands at its end.
type line struct {
	plotter.XYs
	plotter.YErrors // bars from the points; nil for a line without
	name            string
	goal            bool // drawn dashed
}

// newChart draws lines.
func newChart(title string, lines ...line) (*plot.Plot, error) {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	plotter.DefaultFont = plot.DefaultFont
	p := plot.New()
	p.Title.Text = title
	p.Title.Padding = vg.Points(12)
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	p.Add(grid)
	for i, l := range lines {
		path, dots, err := plotter.NewLinePoints(l.XYs)
		if err != nil {
			return nil, err
		}
		path.Width, path.Color = vg.Points(1.5), plotutil.DarkColors[i]
		dots.Shape, dots.Color = draw.CircleGlyph{}, path.Color
		last := len(l.XYs) - 1
		name, err := plotter.NewLabels(plotter.XYLabels{XYs: l.XYs[last:], Labels: []string{l.name}})
		if err != nil {
			return nil, err
		}
		name.Offset.X, name.Offset.Y = vg.Points(7), vg.Points(-3)
		name.TextStyle[0].Color = path.Color
		p.Add(path, name)
		if l.goal {
			path.Dashes = plotutil.Dashes(2)
			continue
		}
		p.Add(dots)
		if l.YErrors != nil {
			bars, err := plotter.NewYErrorBars(l)
			if err != nil {
				return nil, err
			}
			bars.Color = path.Color
			p.Add(bars)
		}
	}
	return p, nil
}

// ticks labels an axis.
type ticks struct {
	plot.Ticker
	label func(float64) string
}

// Ticks implements plot.Ticker.
func (t ticks) Ticks(from, to float64) []plot.Tick {
	all := t.Ticker.Ticks(from, to)
	for i, tick := range all {
		if tick.Label != "" {
			all[i].Label = t.label(tick.Value)
		}
	}
	return all
}

// seconds makes an axis one of times from 100 ns on, on a logarithmic scale.
func seconds(axis *plot.Axis) {
	axis.Min = 1e-7
	axis.Scale = plot.LogScale{}
	axis.Tick.Marker = ticks{plot.LogTicks{}, func(f float64) string { return round(time.Duration(f * float64(time.Second))) }}
}

// saveChart writes a chart as SVG, which takes its font from whoever shows it.
func saveChart(p *plot.Plot, file string) error {
	svg, err := p.WriterTo(20*vg.Centimeter, 11*vg.Centimeter, "svg")
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if _, err := svg.WriteTo(&text); err != nil {
		return err
	}
	const font = "font-family:Liberation Sans"
	return os.WriteFile(file, bytes.ReplaceAll(text.Bytes(), []byte(font), []byte(font+",Arial,sans-serif")), 0o644)
}
