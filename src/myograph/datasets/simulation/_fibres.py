"""Compiled inner loops of the simulator: potentials of motor units at electrodes, discharge times, and their sum."""

from __future__ import annotations

import numpy as np

from myograph._common.jit import njit


@njit(cache=True, error_model="numpy")
def unit_potentials(
    x, y, stretch, core, end_plate, reach_up, reach_down, step, wave, pole_x, pole_y, pole_z, pole_distance, out
):
    """Fill `out` with the surface potential of each unit at each bipolar channel, for one discharge at time 0.

    All lengths in mm, all arrays float32. x, y, end_plate, reach_up, reach_down (unit,): cross-section position,
    position of the end plates along the limb and distance to the two tendons. stretch, core (unit,): squared distance
    is z^2 + stretch * lateral^2 + core. step (unit,): distance travelled in one sample. wave (unit, tap): the membrane
    potential's increments over one step, scaled to uV. pole_x, pole_y, pole_z (channel,): midpoint of the two poles,
    which lie `pole_distance` apart along the limb. out (unit, channel, time).
    """
    n_units, n_channels, length = out.shape
    taps = wave.shape[1]
    n_steps = length - taps + 1
    travelled = np.empty(n_steps, np.float32)
    up = np.empty(n_steps, np.float32)
    down = np.empty(n_steps, np.float32)
    drive = np.empty(n_steps, np.float32)
    half = np.float32(pole_distance / 2)
    for u in range(n_units):
        ds = step[u]
        used = 0
        for k in range(n_steps):
            travelled[k] = (np.float32(k) + np.float32(0.5)) * ds
            up[k] = min(max((reach_up[u] - np.float32(k) * ds) / ds, np.float32(0)), np.float32(1))
            down[k] = min(max((reach_down[u] - np.float32(k) * ds) / ds, np.float32(0)), np.float32(1))
            if up[k] > 0 or down[k] > 0:
                used = k + 1
        for c in range(n_channels):
            lateral = (pole_x[c] - x[u]) ** 2 + (pole_y[c] - y[u]) ** 2
            rest = stretch[u] * lateral + core[u]
            near = pole_z[c] - end_plate[u] + half
            far = near - half - half
            for k in range(used):
                s = travelled[k]
                a, b, p, q = near - s, far - s, near + s, far + s
                a2, b2, p2, q2 = a * a + rest, b * b + rest, p * p + rest, q * q + rest
                drive[k] = up[k] * (a / (a2 * np.sqrt(a2)) - b / (b2 * np.sqrt(b2))) - down[k] * (
                    p / (p2 * np.sqrt(p2)) - q / (q2 * np.sqrt(q2))
                )
            row = out[u, c]
            row[:] = 0
            for m in range(taps):
                value = wave[u, m]
                for k in range(used):
                    row[m + k] += value * drive[k]


@njit(cache=True)
def discharge_times(excitation, muscle, threshold, slope_hz, lowest_hz, highest_hz, interval, step_s, rate_hz, times):
    """Fill `times` (unit, k) with the discharge samples of each unit, and return their number, (unit,).

    excitation (muscle, step): 0 to 1, in steps of `step_s`. interval (unit, k): inter-spike intervals as fractions of
    the mean interval at the present rate. A resting unit keeps its phase.
    """
    n_units, room = times.shape
    n_steps = excitation.shape[1]
    counts = np.zeros(n_units, np.int64)
    for u in range(n_units):
        e = excitation[muscle[u]]
        phase, n = 0.0, 0
        due = interval[u, 0] * 0.5
        for k in range(n_steps):
            above = e[k] - threshold[u]
            if above < 0:
                continue
            advance = min(lowest_hz + slope_hz * above, highest_hz[u]) * step_s
            while phase + advance >= due and n < room - 1:
                times[u, n] = int((k + (due - phase) / advance) * step_s * rate_hz)
                n += 1
                due += interval[u, n]
            phase += advance
        counts[u] = n
    return counts


@njit(cache=True)
def add_trains(out, start, times, counts, potentials):
    """Add each unit's potential to out (channel, time) at each of its discharges, beginning at sample `start`."""
    n_units, n_channels, length = potentials.shape
    end = out.shape[1]
    for c in range(n_channels):
        row = out[c]
        for u in range(n_units):
            shape = potentials[u, c]
            for i in range(counts[u]):
                at = start + times[u, i]
                for k in range(min(length, end - at)):
                    row[at + k] += shape[k]
