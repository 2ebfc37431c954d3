package main

import (
	"errors"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// line is one of those of a chart. Its name stands at its end.
type line struct {
	name   string
	points plotter.XYs
	bars   plotter.YErrors // above the points; nil for a line without
	goal   bool            // drawn dashed
}

// newChart draws lines.
func newChart(title string, lines ...line) (*plot.Plot, error) {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	p := plot.New()
	p.Title.Text = title
	p.Title.Padding = vg.Points(12)
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	p.Add(grid)
	for i, l := range lines {
		path, dots, err := plotter.NewLinePoints(l.points)
		if err != nil {
			return nil, err
		}
		path.Width, path.Color = vg.Points(1.5), plotutil.Color(i)
		dots.Shape, dots.Color = plotutil.Shape(0), path.Color
		bars, barsErr := plotter.NewYErrorBars(struct {
			plotter.XYs
			plotter.YErrors
		}{l.points, l.bars})
		last := len(l.points) - 1
		name, nameErr := plotter.NewLabels(plotter.XYLabels{XYs: l.points[last:], Labels: []string{l.name}})
		if err := errors.Join(barsErr, nameErr); err != nil {
			return nil, err
		}
		bars.Color = path.Color
		name.Offset.X, name.Offset.Y = vg.Points(7), vg.Points(-3)
		name.TextStyle[0].Color = path.Color
		if l.goal {
			path.Dashes = plotutil.Dashes(2)
			p.Add(path, name)
		} else {
			p.Add(path, dots, bars, name)
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

// seconds makes an axis one of times, on a logarithmic scale.
func seconds(axis *plot.Axis) {
	axis.Scale = plot.LogScale{}
	axis.Tick.Marker = ticks{plot.LogTicks{}, func(f float64) string { return round(time.Duration(f * float64(time.Second))) }}
}
