"""Plots: what `reports.charts` worked out, drawn by matplotlib as SVG that takes its colours from the page.

matplotlib is imported when a plot is drawn and not before: `import reports` stays cheap. Figures are
objects of their own; nothing of pyplot, which would keep them in a global.
"""

from reports.plots.distributions import plot_svg, plots_png

__all__ = ["plot_svg", "plots_png"]
