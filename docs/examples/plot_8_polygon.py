"""
A country with a lake
=====================

A domain of any shape: an outline with bays, a lake with an island in it, and an island off the
coast. The regions are exact up to the shore.
"""

import numpy as np
import torch
from shapely import MultiPolygon, Polygon
from torch import nn

import polyregions as pr

rng = np.random.default_rng(8)


def shore(x, y, radius, roughness, n):
    """A closed line around a point, with bays and headlands."""
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    waves = np.arange(2, 14)
    phase = rng.uniform(0, 2 * np.pi, len(waves))
    size = rng.normal(0, 1, len(waves)) / waves
    r = radius * np.exp(roughness * (size * np.sin(np.outer(angle, waves) + phase)).sum(axis=1))
    return np.stack([x + 1.25 * r * np.cos(angle), y + r * np.sin(angle)], axis=1)


lake = shore(0.4, 0.15, 0.75, 0.35, 60)
mainland = Polygon(shore(0, 0, 2.6, 0.24, 300), [lake])
country = MultiPolygon(
    [
        mainland,
        Polygon(shore(0.45, 0.1, 0.24, 0.3, 40)),  # in the lake
        Polygon(shore(3.2, -2.3, 0.5, 0.3, 60)),  # off the coast
    ]
)

torch.manual_seed(0)
torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(2, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
for _ in range(500):  # to have something to look at: it learns some hills
    x = 8 * torch.rand(256, 2) - 4
    target = torch.sin(1.2 * x[:, :1]) * torch.cos(x[:, 1:])
    loss = torch.mean((model(x) - target) ** 2)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

part = pr.partition(model, country)
print(part.domain)
print(part)

# %%
# Colours are slopes, as everywhere. What is no land is left white.

pr.plot.partition(part)

# %%
# The values, between two levels in one colour each.

pr.plot.output(part, cmap="viridis")

# %%
# Faces are convex. A region at the shore need not be; it is cut along *seams*, which are drawn here
# and nowhere else. They have no meaning: counting goes across them.

artists = pr.plot.partition(part, color=None, lines="layer", key=False)
seams = part.vertex_xy[part.edge_vertices[part.edge_is_seam]]
artists.ax.plot(*seams.transpose(2, 1, 0), color="tab:red", linewidth=0.5)
print(f"{len(part)} faces make {part.count().activation_regions} regions")
