"""Layers of maxima: every unit's values play for the largest, round by round.

In each round two neighbours play, and the winners go on to the next. So one line for each game
cuts a face, where the two are equal, and faces of the next round know who plays there. Each round
goes through the passes of any layer.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyregions.engine.complex import INDEX, Complex, indices, offsets
from polyregions.engine.dissolve import dissolve
from polyregions.engine.exactly import Provenance
from polyregions.engine.kernels import kernel
from polyregions.engine.layers import Layer
from polyregions.engine.maps import Level, Maps, Split
from polyregions.engine.segments import Elementwise, Segment, Selection
from polyregions.engine.splitting import classify, cross_edges, cut_faces, find_chords, settle_signs
from polyregions.engine.watch import Watch
from polyregions.network import ByteArray, FloatArray, IntArray

_FACES, _EDGES = 2048, 4096  # a thread takes so many at a time


@dataclass
class Games:
    """Who plays in a round. Places count those who are still in, unit by unit.

    Attributes
    ----------
    left, right : (G,) int64
        The places that play each game.
    unit : (G,) int64
    next_left, next_right : (P,) int64
        The places from which those of the next round come; the second is -1 for who has no game.
    next_game : (P,) int64
        The game between them.
    """

    left: IntArray
    right: IntArray
    unit: IntArray
    next_left: IntArray
    next_right: IntArray
    next_game: IntArray


def draw(n_members: IntArray) -> list[Games]:
    """The rounds of units with so many members each."""
    rounds = []
    count = n_members
    while (count > 1).any():
        first = np.cumsum(count) - count
        behind = (count + 1) // 2
        unit = np.repeat(np.arange(len(count)), behind)
        place = np.arange(len(unit)) - np.repeat(np.cumsum(behind) - behind, behind)
        left = first[unit] + 2 * place
        plays = 2 * place + 1 < count[unit]
        rounds.append(
            Games(
                left=left[plays],
                right=left[plays] + 1,
                unit=unit[plays],
                next_left=left,
                next_right=np.where(plays, left + 1, -1),
                next_game=np.where(plays, np.cumsum(plays) - 1, -1),
            )
        )
        count = behind
    return rounds


@dataclass
class Known:
    """What is known of members that are values of the activation layer before.

    Attributes
    ----------
    unit : (members,) int64
        The unit whose value each member is; -1 if it is none.
    reach : (units, K + 1, 2) int64
        Between which values units are on each of their pieces, see `Elementwise.reach`.
    pieces : (F, units) uint8
        The pieces of the units on each face before the layer of maxima.
    """

    unit: IntArray
    reach: IntArray
    pieces: ByteArray


def _known(switching: Selection, number: int, made: Provenance, n_faces: int) -> Known:
    before = made.layers[number - 1].switching if number else None
    unit = switching.taken_from
    if isinstance(before, Elementwise):
        unit = np.where(unit < before.n_units, unit, -1)
        if (unit >= 0).any():
            return Known(unit, before.reach, made.pieces[number - 1])
    none = np.full(len(unit), -1)
    return Known(none, np.zeros((0, 1, 2), np.int64), np.zeros((n_faces, 0), np.uint8))


class Round(Level):
    """The faces before a round, and the differences of those who play.

    Parameters
    ----------
    before : Level
        The faces before the layer, and the differences of all pairs.
    games : Games
    origin : (F,) int32
        The face before the layer that each face is part of.
    best : (F, places) uint8
        The members of their units that are still in.
    known : Known
    """

    def __init__(
        self, before: Level, games: Games, origin: IntArray, best: ByteArray, known: Known
    ) -> None:
        switching = before.layer.switching
        assert isinstance(switching, Selection)
        self.layer, self.window = _layer(len(games.unit)), before.window
        self.before, self.is_given, self.kept = before, False, None
        self.n_faces = len(origin)
        self.group = np.arange(self.n_faces, dtype=INDEX)
        self.item_child = np.arange(self.n_faces + 1, dtype=INDEX)
        self.item_parent = origin
        self._best, self._known = best, known
        self._games = games
        self._n_members = switching.n_members_of[games.unit]
        self._first_pair = switching.first_pair_of[games.unit]
        self._first_value = switching.n_members
        counts = switching.n_members_of
        self._first_member = (np.cumsum(counts) - counts)[games.unit]

    def original(self, face: Any, line: Any) -> tuple[Any, Any]:
        games = self._games
        i, j = (
            self._best[face, place[line]].astype(np.int64) for place in (games.left, games.right)
        )
        pair = number_of_pair(self._first_pair[line], self._n_members[line], i, j)
        return self.item_parent[face], pair.astype(INDEX)

    def work_out(self, begin: int, end: int, prev: Maps) -> Maps:
        n, n_games = end - begin, self.layer.width
        maps = Maps(
            begin,
            begin,
            np.empty((n, 3, n_games)),
            np.empty((n, n_games)),
            np.empty((n, n_games)),
        )
        gather(
            self.item_parent[begin:end], self._best[begin:end], self._games.left,
            self._games.right, self._first_pair, self._n_members, self._first_value,
            prev.first_face, self.before.group, prev.first_group, prev.columns, prev.eab, prev.ec,
            self._first_member, self._known.unit, self._known.reach, self._known.pieces,
            maps.columns, maps.eab, maps.ec,
        )  # fmt: skip
        return maps


def _layer(n_games: int) -> Layer:
    """A layer with a line for each game, on which the values of two members are equal."""
    game = np.arange(n_games)
    nothing = np.empty((0, 0))
    return Layer(
        segment=Segment([n_games], outputs=[0]),
        switching=None,
        is_dense=False,
        weight=nothing,
        bias=np.empty(0),
        weight_error=nothing,
        bias_error=np.empty(0),
        line_value=game,
        line_breakpoint=np.zeros(n_games),
        line_unit=game,
        member_offsets=np.arange(n_games + 1),
        member_unit=game,
        member_sign=np.ones(n_games, dtype=np.int8),
    )


def split_by_maxima(
    old: Complex,
    level: Level,
    number: int,
    made: Provenance,
    watch: Watch,
    stage: Callable[[str], AbstractContextManager[Any]] = nullcontext,
) -> tuple[Complex, Split, FloatArray]:
    """Subdivide every face into the parts on which every unit has one largest value.

    Returns
    -------
    Complex
    Split
    (cuts, 5) float64
        For each cut of the layer a, b, c of its line, and the bounds of ab and c.
    """
    switching = level.layer.switching
    assert isinstance(switching, Selection)
    _fill(level, watch)
    origin = np.arange(old.n_faces, dtype=INDEX)
    best = np.tile(switching.place_of_member.astype(np.uint8), (old.n_faces, 1))
    rows = [np.empty((0, 5))]
    made.add_cuts(number, indices(0), indices(0))
    new = old
    of_units = _known(switching, number, made, old.n_faces)
    rounds = draw(switching.n_members_of)
    for k, games in enumerate(rounds):
        watch.part = k, len(rounds)
        here = Round(level, games, origin, best, of_units)
        with stage("maps and signs"):
            known = classify(new, here, watch)
            entries = settle_signs(new, here, number, known, made, watch)
        with stage("edges"):
            edges = cross_edges(new, here, number, entries, made, watch)
        with stage("chords"):
            chords, inside = find_chords(new, here, number, entries, edges, made, watch)
        n_parts = int(inside.children.sum(dtype=np.int64))
        sides = int(inside.sides.sum(dtype=np.int64))
        n_bytes = n_parts * (len(games.unit) + len(games.next_left)) + 20 * sides
        watch.check_memory(n_bytes, f"{n_parts} parts of faces")
        with stage("faces"):
            new, parts = cut_faces(new, here, known, entries, edges, chords, inside, made, watch)
            rows.append(entries.rows)
            origin = origin[parts.parent]
            winners = np.empty((new.n_faces, len(games.next_left)), dtype=np.uint8)
            watch.call(
                new.n_faces, _FACES, advance, parts.parent, parts.pieces, best, games.next_left,
                games.next_right, games.next_game, winners,
            )  # fmt: skip
            best = winners
            del parts, known, entries, edges, chords, inside
            if k:  # who lost a game of the first round may still have cut faces
                new, origin, best = _merged(new, origin, best, made, watch)
    watch.part = 0, 1
    (edge_line,) = new.hand_over("edge_line")
    new.edge_line, kept = made.sort_cuts(number, edge_line)
    split = Split(
        child_start=offsets(np.bincount(origin, minlength=level.n_faces)),
        child_ref=indices(0),  # maps behind such a layer are not made from those of siblings
        parent=origin,
        pieces=switching.state_pieces(best),
        entry_start=indices(0),
        entry_line=indices(0),
        n_flips=indices(0),
    )
    made.parents.append(origin)
    made.pieces.append(best)
    return new, split, np.concatenate(rows)[kept]


def _fill(level: Level, watch: Watch) -> None:
    """Work out the maps of all faces, if they are kept."""
    if level.is_given or level.kept is None:
        return

    def work(begin: int, end: int) -> None:
        level.work_out(begin, end, level.parent_maps(begin, end))

    watch.run(level.n_items, work, _FACES)


def _merged(
    fine: Complex, origin: IntArray, best: ByteArray, made: Provenance, watch: Watch
) -> tuple[Complex, IntArray, ByteArray]:
    """Take out edges with the same winners on both sides, and merge the faces there."""
    removed = np.empty(fine.n_edges, dtype=np.bool_)
    watch.call(fine.n_edges, _EDGES, find_false_edges, fine.ef, origin, best, removed)
    if not removed.any():
        return fine, origin, best
    found = dissolve(fine, removed, watch.crew)
    made.renumber_vertices(found.vertex)
    _, first = np.unique(found.face, return_index=True)
    return found.complex, origin[first], best[first]


def number_of_pair(first_pair, n_members, i, j):
    """The number of the pair i < j of a unit's members."""
    return first_pair + i * (2 * n_members - i - 1) // 2 + j - i - 1


_number_of_pair = kernel(number_of_pair)


@kernel
def gather(
    origin, best, left, right, first_pair, n_members, first_value, first_face, group, first_group,
    prev_columns, prev_eab, prev_ec, first_member, unit, reach, pieces, columns, eab, ec,
):  # fmt: skip
    """The differences of those who play, and the bounds on their errors.

    Where the pieces of two units of the layer before say which is larger inside the face, a
    number of the same sign takes the place of the difference.
    """
    for f in range(len(origin)):
        p = origin[f] - first_face
        g = group[origin[f]] - first_group
        for k in range(len(left)):
            i, j = np.int64(best[f, left[k]]), np.int64(best[f, right[k]])
            first, second = unit[first_member[k] + i], unit[first_member[k] + j]
            if first >= 0 and second >= 0:
                x, y = pieces[origin[f], first], pieces[origin[f], second]
                second_wins = reach[first, x, 1] < reach[second, y, 0]
                # No larger, whether or not the ends are reached.
                first_wins = (reach[second, y, 1] + 1) >> 1 <= reach[first, x, 0] >> 1
                if first_wins or second_wins:
                    columns[f, 0, k] = columns[f, 1, k] = 0.0
                    columns[f, 2, k] = 1.0 if second_wins else -1.0
                    eab[f, k] = ec[f, k] = 0.0
                    continue
            value = first_value + _number_of_pair(first_pair[k], n_members[k], i, j)
            for axis in range(3):
                columns[f, axis, k] = prev_columns[p, axis, value]
            eab[f, k], ec[f, k] = prev_eab[g, value], prev_ec[g, value]


@kernel
def advance(begin, end, parent, pieces, best, left, right, game, winners):
    """Who goes on to the next round. The second is larger, or the first is as large."""
    for f in range(begin, end):
        p = parent[f]
        for k in range(len(left)):
            wins = right[k] >= 0 and pieces[f, game[k]] > 0
            winners[f, k] = best[p, right[k] if wins else left[k]]


@kernel
def find_false_edges(begin, end, ef, origin, best, removed):
    """Mark edges inside a face before the layer on both sides of which the same have won."""
    for e in range(begin, end):
        f, g = ef[e, 0], ef[e, 1]
        same = g >= 0 and origin[f] == origin[g]
        if same:
            for k in range(best.shape[1]):
                if best[f, k] != best[g, k]:
                    same = False
                    break
        removed[e] = same
