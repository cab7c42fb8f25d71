"""Words with which people name gestures, sessions, columns and sensors in their files."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PARTS = {
    "subject": _words("s p sub subj subject part participant person people user patient proband vp volunteer id"),
    "session": _words("ses sess session day d visit sitting week block"),
    "label": _words("g c m gest gesture class classe label mov move movement motion task act activity cls"),
    "repetition": _words("r t i k rep reps repetition trial tr run take try attempt iter"),
}
REST = _words("rest relax relaxed resting idle neutral nomotion nomovement nogesture baseline none")
GESTURES = _words(
    """fist open close grip grasp pinch point pointing flexion extension flex extend pronation supination wave wavein
    waveout thumb thumbup index ok okay victory peace spread palm hand handopen handclose wristflexion wristextension
    radial ulnar power key tripod cylindrical hook rock paper scissors up down left right cut squeeze chuck"""
)
SESSIONS = _words("train test training testing pre post before after morning evening first second calibration")
_NUMBER = r"[ _]?(id|no|nr|num|number|name|index|code)?"
COLUMNS = {
    "label": re.compile(
        r"(re)?(label|labels|gesture|gestures|class|classe|stimulus|movement|motion|target|activity|task|marker|markers|"
        rf"event|events|annotation|annotations|state|phase|pose|condition|y){_NUMBER}"
    ),
    "repetition": re.compile(rf"(re)?(rep|reps|repetition|repetitions|trial|run|take|attempt|gesturecounter){_NUMBER}"),
    "subject": re.compile(rf"(subject|subj|sub|participant|person|user|patient){_NUMBER}"),
    "session": re.compile(rf"(session|ses|sess|day|visit){_NUMBER}"),
}
RATE = re.compile(
    r"(emg[_ ]?)?(fs|fsamp|sfreq|srate|frequency|freq|rate|rate_hz|sampling[ _]?rate|sample[ _]?rate|sampling[ _]?frequency)(_?hz)?"
)
COUNTERS = re.compile(
    r"(unnamed.*|index|idx|n|no|nr|sample|samples|sample ?(index|number|no|count)|row|frame|counter|count|packet|seq|nseq)?"
)
OTHER = re.compile(
    r"acc|gyr|^mag|imu|quat|orient|roll|pitch|yaw|force|torque|angle|glove|temp|batt|press|humid|ecg|ekg|eeg|eog|gsr|"
    r"button|trigger|digital|analog|other|gps|lat$|lon$|exercise|age|weight|height|time|stamp|crc|status"
)
EMG = re.compile(r"emg|muscle|exg")
UNIT = re.compile(r"(?:[\[(]\s*|[_ ])(m|u|µ|μ|n|micro|milli)?v(?:olts?)?\s*[\])]?$")


def plain(name: str) -> str:
    """Return a name in lower case and without a unit in brackets.

    >>> plain(" Gesture_ID [1] ")
    'gesture_id'
    """
    return re.sub(r"\s*[\[(].*$", "", name.strip().lower())
