"""
Along a line
============

A network on the way from one input to another: every breakpoint, and what each of the inputs adds
to the output.
"""

import matplotlib.pyplot as plt
import torch
from torch import nn

import polyregions as pr

torch.manual_seed(0)
torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for _ in range(500):  # it learns a function of three of its eight inputs
    x = 4 * torch.rand(256, 8) - 2
    target = torch.sin(2 * x[:, :1]) + x[:, 1:2] * x[:, 2:3]
    loss = torch.mean((model(x) - target) ** 2)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

a, b = -1.5 * torch.ones(8), torch.tensor([1.5, 1.0, 1.5, 1.5, -1.0, 0.5, 1.5, -1.5])
part = pr.partition_line(model, a, b)
print(part)

# %%
# The graph of the output, not a sample of it. The short lines below it are all breakpoints, higher
# for the first layer.

pr.plot.line(part)

# %%
# Integrated gradients: what each input adds, as a sum over the pieces. They add up to the
# difference of the output, and the inputs that do not matter get little of it.

added = pr.integrated_gradients(model, x=b, baseline=a, target=0)
fig, ax = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
ax.bar([f"$x_{i}$" for i in range(8)], added, color="#3a6ea5")
ax.axhline(0.0, color="0.2", linewidth=0.8)
ax.set_ylabel("added to the output")
ax.set_title(f"{added.sum():.4f} in all; the output changes by {(model(b) - model(a)).item():.4f}")
