"""A device that behaves badly: sends the samples of a .npy file (channel, time) as its plan says, over UDP or LSL.

Run as a process of its own: `python fake_device.py udp|lines|lsl ADDRESS SIGNAL PLAN RATE PPM`. The plan is JSON, a list of
steps: [first, stop] sends these samples, {"pause": seconds} waits, {"new": number} disconnects, connects again and counts
from that number on, {"raw": text} sends bytes that are no samples. Samples are sent when they are due by a clock that is
PPM parts per million too fast.
"""

import json
import socket
import struct
import sys
import time

import numpy as np


def udp(address, binary):
    host, port = address.rsplit(":", 1)
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def send(samples, first):
        if isinstance(samples, str):
            packet = samples.encode()
        elif binary:
            header = b"MYO1" + struct.pack("<IHH", first, samples.shape[0], samples.shape[1])
            packet = header + samples.T.astype("<f4").tobytes()
        else:
            packet = "".join(
                ",".join([str(first + i), *(repr(float(v)) for v in column)]) + "\n"
                for i, column in enumerate(samples.T)
            ).encode()
        link.sendto(packet, (host, int(port)))

    return send, link.close


def lsl(name, signal, rate_hz):
    import pylsl

    info = pylsl.StreamInfo(name, "EMG", len(signal) + 1, rate_hz, pylsl.cf_float32, f"fake {name}")
    info.set_channel_labels([*(f"E{i + 1}" for i in range(len(signal))), "COUNT"])
    info.set_channel_types([*["EMG"] * len(signal), "MISC"])
    info.set_channel_units([*["millivolts"] * len(signal), "none"])
    outlet = pylsl.StreamOutlet(info)
    held = [outlet]
    while not outlet.have_consumers():
        time.sleep(0.01)

    def send(samples, first):
        counter = first + np.arange(samples.shape[1])
        # Every chunk has the same stamp: nothing may be decided by stamps.
        held[0].push_chunk(np.vstack([samples / 1000, counter]).T.tolist(), timestamp=1000.0)

    def close():
        time.sleep(0.5)  # what was pushed is sent by another thread
        held.clear()

    return send, close


def main(kind, address, path, plan, rate_hz, ppm):
    signal, rate_hz = np.load(path), float(rate_hz)

    def connect():
        return lsl(address, signal, rate_hz) if kind == "lsl" else udp(address, kind == "udp")

    send, close = connect()
    pace = rate_hz * (1 + float(ppm) / 1e6)
    begun, sent, shift = time.perf_counter(), 0, 0
    for step in json.loads(plan):
        if "pause" in step:
            time.sleep(step["pause"])
        elif "new" in step:
            close()
            time.sleep(step.get("off", 0.0))
            send, close = connect()
            shift = step["new"] - step["at"]
        elif "raw" in step:
            send(step["raw"], 0)
        else:
            first, stop = step
            sent += stop - first
            time.sleep(max(begun + sent / pace - time.perf_counter(), 0.0))
            send(signal[:, first:stop], first + shift)
    time.sleep(0.2)
    close()


if __name__ == "__main__":
    main(*sys.argv[1:])
