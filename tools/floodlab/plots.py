# SPDX-License-Identifier: GPL-2.0
"""Draws what the flood lab found: the course of floods, and all scenes in one picture."""

import os

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

import scenes as lab  # noqa: E402

# Told apart by those who see few colours, and in grey.
COLOUR = {"mainline": "#D55E00", "ours": "#0072B2"}
MARK = {"mainline": "X", "ours": "o"}
ENGINES = tuple(COLOUR)
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "floodlab",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "lines.linewidth": 1.6,
}


def save(figure, folder, name):
    path = os.path.join(folder, name)
    figure.savefig(path, metadata={"Date": None}, facecolor="white", bbox_inches="tight")
    plt.close(figure)
    return path


def slices(course, least):
    """Differences of a course, over at least so many honest answers."""
    start = [0, 0, 0, 0, 0, 0]
    for row in course:
        answers = row[4] + row[5] - start[4] - start[5]
        if row[1] - start[1] and answers >= least:
            yield start, row, answers
            start = row


def draw_course(figures, scene, folder):
    """Occupancy, honest success and refusals over time, the engines beside each other."""
    engines = [e for e in ENGINES if figures.scenes.get((e, scene.name), {}).get("course")]
    if len(engines) != len(ENGINES):
        return None
    figure, axes = plt.subplots(3, len(engines), figsize=(8, 5), sharex=True, sharey="row",
                                layout="constrained")
    for column, engine in enumerate(engines):
        course = figures.scenes[engine, scene.name]["course"]
        colour = COLOUR[engine]
        top, middle, bottom = axes[:, column]
        top.set_title("mainline" if engine == "mainline" else "rconntrack", color=colour)
        seconds = [row[0] / 1e6 for row in course]
        top.plot(seconds, [100 * row[2] / figures.table for row in course], color=colour)
        top.set_ylim(0, 108)
        honest = [(end[0] / 1e6, 100 * (end[4] - start[4]) / answers)
                  for start, end, answers in slices(course, 10)]
        middle.plot(*zip(*honest), color=colour)
        middle.set_ylim(-4, 108)
        refused = [(end[0] / 1e6, 100 * (end[3] - start[3]) / (end[1] - start[1]))
                   for start, end, _ in slices(course, 0)]
        bottom.plot(*zip(*refused), color=colour)
        bottom.set_ylim(-4, 108)
        bottom.set_xlabel("seconds of the flood")
    for row, label in zip(axes, ("table in use, %", "honest handshakes\nthat succeed, %",
                                 "new connections\nrefused, %")):
        row[0].set_ylabel(label)
    figure.suptitle(scene.title, fontsize=11)
    return save(figure, folder, f"course-{scene.name}.svg")


def dots(axis, rows, title, log=False):
    """Both engines' figures of each row on one line."""
    for place, (_, values) in enumerate(rows):
        if len(values) == 2:
            axis.plot(list(values.values()), [place, place], color="#bbbbbb", linewidth=1.2, zorder=1)
        for engine, value in values.items():
            axis.plot(value, place, MARK[engine], color=COLOUR[engine], markersize=7,
                      markeredgecolor="white", zorder=3 if engine == "ours" else 2)
    axis.set_yticks(range(len(rows)), [title for title, _ in rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_title(title, loc="left")
    if log:
        axis.set_xscale("symlog", linthresh=1)
        axis.set_xlim(left=-0.2)
    else:
        axis.set_xlim(-3, 103)


def legend(figure):
    handles = [plt.Line2D([], [], linestyle="", marker=MARK[e], color=COLOUR[e], markersize=7,
                          label="mainline" if e == "mainline" else "rconntrack") for e in ENGINES]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False)


def draw_scenes(figures, folder):
    """All scenes: handshakes lost, connections refused, time until honest clients get in."""
    played = [s for s in lab.scenes(figures.table)
              if all((e, s.name) in figures.scenes for e in ENGINES)]

    def rows(measure, wanted):
        return [(s.title, figures.of(s.name, measure)) for s in played if wanted(s)]

    panels = [
        (rows("lost", lambda s: s.flood), "honest handshakes lost, %", False),
        (rows("refused", lambda s: True), "new connections refused, %", False),
        (rows("recovered", lambda s: s.goals and s.goals[0].measure == "first"),
         "milliseconds until a new connection gets in", True),
    ]
    panels = [panel for panel in panels if panel[0]]
    if not panels:
        return None
    heights = [len(panel[0]) + 1.5 for panel in panels]
    figure, axes = plt.subplots(len(panels), 1, figsize=(8, 0.24 * sum(heights) + 0.6),
                                height_ratios=heights, layout="constrained", squeeze=False)
    for axis, panel in zip(axes[:, 0], panels):
        dots(axis, *panel)
    legend(figure)
    return save(figure, folder, "scenes.svg")


def draw_costs(figures, folder):
    """Cost on a full table as a ratio to mainline's with room."""
    rows = [(c.title, figures.cost(c.name, c.kind)) for c in lab.costs(figures.table)]
    rows = [row for row in rows if len(row[1]) == 2]
    if not rows:
        return None
    figure, axis = plt.subplots(figsize=(8, 0.26 * len(rows) + 1.1), layout="constrained")
    dots(axis, rows, "cost of a new connection on a full table,\ntimes mainline's on a table with room")
    axis.set_xlim(0.8, 1.1 * max(max(values.values()) for _, values in rows))
    axis.axvline(lab.COST_MOST, color="#555555", linestyle="--", linewidth=1)
    legend(figure)
    return save(figure, folder, "cost.svg")


def draw(figures, folder):
    """Draws all that there are figures for; the paths."""
    os.makedirs(folder, exist_ok=True)
    with plt.rc_context(STYLE):
        drawn = [draw_course(figures, scene, folder)
                 for scene in lab.scenes(figures.table) if scene.flood]
        drawn += [draw_scenes(figures, folder), draw_costs(figures, folder)]
    return [path for path in drawn if path]
