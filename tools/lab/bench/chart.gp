# SPDX-License-Identifier: GPL-2.0
# gnuplot -e "out='FILE.svg'; get='DATA'; pin='DATA'" chart.gp
# DATA has lines "KIND BASE SERIES": what it costs to take a page and drop it.

set terminal svg size 860,680 font "sans-serif,13" background "white"
set output out
set multiplot layout 2,1

set style data histogram
set style histogram clustered gap 1
set style fill solid noborder
set boxwidth 0.9
set linetype 1 linecolor rgb "#a0a0a0"
set linetype 2 linecolor rgb "#1f6fb4"

set border 3
set tics nomirror scale 0.5
set xtics scale 0
set grid y linecolor rgb "#e0e0e0"
set yrange [0:*]
set offsets 0, 0, graph 0.1, 0
set ylabel "instructions per 4 KiB page"
set key top left horizontal

array titles[2] = ["get\\_user\\_pages\\_fast() + put\\_page(), 512 pages a call", \
	"pin\\_user\\_pages\\_fast() + unpin\\_user\\_pages(), 512 pages a call"]
array data[2] = [get, pin]
do for [i = 1:2] {
	set title titles[i]
	plot data[i] using 2:xtic(1) title "base", "" using 3 title "series", \
		"" using 0:2:(sprintf("%.0f", $2)) with labels offset -2.2,0.6 notitle, \
		"" using 0:3:(sprintf("%.0f", $3)) with labels offset 2.2,0.6 notitle
}
