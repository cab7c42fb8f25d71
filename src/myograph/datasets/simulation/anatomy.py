"""Tables of the simulator: muscles of the forearm, arm and leg, and the muscles that each gesture uses.

Positions of the forearm muscles were read from cross-sections of the proximal third of a right forearm in anatomy
atlases and rounded. They represent the mean of a cohort. Angles are in degrees around the limb: 0 is the middle of the
palmar side, 90 the radial side, 180 dorsal, -90 ulnar. The digits' muscles are split into compartments that can be
driven separately (Keen & Fuglevand 2004 for the finger extensor). Gestures are those of Atzori et al. 2014 (Sci Data
1:140053: exercises A, B, C and the force patterns D), composed of joint actions. The weights are our choice, based
on the muscles' textbook functions.
"""

from __future__ import annotations

from typing import NamedTuple


class Muscle(NamedTuple):
    """One muscle, or one compartment that is driven separately.

    Parameters
    ----------
    name : short name.
    angle_deg, depth_mm : centre, around the limb and below the surface of the muscle layer (the fat lies on top of it).
    radius_mm : half the thickness of the area that contains its motor units.
    end_plate_mm : position of its innervation zone along the limb, from the electrodes' centre, distal positive.
    up_mm, down_mm : distance from the innervation zone to the distal and the proximal tendon.
    n_units : number of motor units that are simulated.
    fibres : number of fibres of its largest unit.

    >>> BICEPS.name, BICEPS.depth_mm, BICEPS.n_units
    ('biceps', 12, 60)
    """

    name: str
    angle_deg: float
    depth_mm: float
    radius_mm: float
    end_plate_mm: float
    up_mm: float
    down_mm: float
    n_units: int
    fibres: float


def _m(
    name: str, angle: float, depth: float, radius: float, end_plate: float, up: float, down: float, n: int, f: float
) -> Muscle:
    return Muscle(name, angle, depth, radius, end_plate, up, down, n, f)


FOREARM = (
    _m("BR", 65, 7, 5, -30, 90, 60, 30, 1050),  # brachioradialis
    _m("PT", 36, 11, 4, -40, 45, 35, 24, 750),  # pronator teres
    _m("FCR", 18, 8, 4, -35, 60, 45, 30, 750),  # flexor carpi radialis
    _m("PL", -4, 6, 3, -37, 50, 40, 18, 375),  # palmaris longus
    _m("FDS2", -18, 15, 3.5, -10, 55, 50, 24, 525),  # flexor digitorum superficialis, digits 2 to 5
    _m("FDS3", -27, 12, 3.5, -33, 60, 45, 24, 600),
    _m("FDS4", -40, 11, 3.5, -27, 60, 45, 24, 525),
    _m("FDS5", -52, 13, 3, -7, 50, 45, 21, 375),
    _m("FCU", -80, 7, 5, -30, 65, 45, 30, 900),  # flexor carpi ulnaris
    _m("FDP2", -36, 21, 4, -20, 60, 50, 21, 600),  # flexor digitorum profundus
    _m("FDP3", -52, 20, 4, -23, 60, 50, 21, 600),
    _m("FDP45", -72, 17, 4, -25, 60, 50, 24, 600),
    _m("FPL", 28, 20, 4, 3, 45, 40, 21, 450),  # flexor pollicis longus
    _m("ECRL", 94, 7, 4, -45, 55, 40, 27, 750),  # extensor carpi radialis longus, brevis
    _m("ECRB", 116, 9, 4, -25, 55, 40, 27, 750),
    _m("EDC2", 136, 10, 3, -15, 50, 40, 21, 375),  # extensor digitorum; 5 with digiti minimi
    _m("EDC3", 146, 7, 3, -30, 55, 45, 21, 450),
    _m("EDC4", 159, 7, 3, -25, 55, 45, 21, 450),
    _m("EDC5", 171, 8, 3, -20, 50, 45, 21, 375),
    _m("ECU", -166, 7, 4, -25, 60, 45, 27, 675),  # extensor carpi ulnaris
    _m("APL", 128, 17, 3.5, 0, 45, 35, 18, 450),  # abductor pollicis longus and extensor brevis
    _m("EPL", 158, 16, 3, 5, 40, 35, 18, 375),  # extensor pollicis longus
    _m("EIP", 174, 17, 3, 10, 40, 35, 15, 300),  # extensor indicis
    _m("SUP", 106, 18, 4, -35, 25, 25, 21, 525),  # supinator
)

BICEPS = _m("biceps", 0, 12, 8, 30, 50, 75, 60, 1200)
TIBIALIS = _m("tibialis", 0, 7, 5, -24, 48, 38, 60, 900)

ACTIONS: dict[str, dict[str, float]] = {
    "index_flexion": {"FDS2": 0.9, "FDP2": 0.8, "FDS3": 0.15, "ECRB": 0.15},
    "middle_flexion": {"FDS3": 0.9, "FDP3": 0.8, "FDS4": 0.2, "FDS2": 0.1, "ECRB": 0.15},
    "ring_flexion": {"FDS4": 0.9, "FDP45": 0.6, "FDS3": 0.25, "FDS5": 0.2, "ECRB": 0.1},
    "little_flexion": {"FDS5": 0.9, "FDP45": 0.7, "FDS4": 0.25, "ECU": 0.15},
    "thumb_flexion": {"FPL": 1.0, "APL": 0.2, "FDS2": 0.1},
    "thumb_adduction": {"FPL": 0.5, "EPL": 0.6, "FCR": 0.1},
    "thumb_abduction": {"APL": 1.0, "FCR": 0.15, "PL": 0.25, "ECU": 0.25},
    "thumb_extension": {"EPL": 1.0, "APL": 0.6, "FCU": 0.15},
    "index_extension": {"EDC2": 0.9, "EIP": 0.9, "EDC3": 0.2},
    "middle_extension": {"EDC3": 1.0, "EDC2": 0.2, "EDC4": 0.25},
    "ring_extension": {"EDC4": 1.0, "EDC3": 0.3, "EDC5": 0.3},
    "little_extension": {"EDC5": 1.0, "EDC4": 0.3, "ECU": 0.15},
    "finger_flexion": {"FDS2": 0.7, "FDS3": 0.8, "FDS4": 0.8, "FDS5": 0.6, "FDP2": 0.6, "FDP3": 0.6, "FDP45": 0.7},
    "finger_extension": {"EDC2": 0.8, "EDC3": 0.9, "EDC4": 0.9, "EDC5": 0.8, "EIP": 0.5},
    "finger_abduction": {"EDC2": 0.5, "EDC5": 0.7, "EDC3": 0.35, "EDC4": 0.35, "ECU": 0.25, "APL": 0.4},
    "finger_adduction": {"EIP": 0.4, "FDS2": 0.25, "FDS5": 0.3, "EDC3": 0.45, "EDC4": 0.45, "EDC2": 0.3, "PL": 0.2},
    "wrist_flexion": {"FCR": 0.9, "FCU": 0.8, "PL": 0.8, "FDS3": 0.2},
    "wrist_extension": {"ECRL": 0.7, "ECRB": 0.9, "ECU": 0.7, "EDC3": 0.25, "EDC4": 0.2},
    "radial_deviation": {"FCR": 0.6, "ECRL": 0.9, "APL": 0.5, "ECRB": 0.35, "BR": 0.15},
    "ulnar_deviation": {"FCU": 0.8, "ECU": 0.9, "FDP45": 0.1},
    "pronation": {"PT": 1.0, "FCR": 0.35, "BR": 0.25},
    "supination": {"SUP": 1.0, "BR": 0.5, "EPL": 0.2, "ECRL": 0.1},
    "grip_support": {"ECRL": 0.4, "ECRB": 0.6, "ECU": 0.35},
}

_COMMON = {
    "wrist_flexion": "wrist_flexion 1",
    "wrist_extension": "wrist_extension 1",
    "hand_close": "finger_flexion 0.9, thumb_flexion 0.5, grip_support 0.8",
    "hand_open": "finger_extension 1, thumb_extension 0.5, wrist_flexion 0.1",
    "radial_deviation": "radial_deviation 1",
    "ulnar_deviation": "ulnar_deviation 1",
    "pronation": "pronation 1",
    "supination": "supination 1",
    "pinch_grip": "index_flexion 0.7, thumb_flexion 0.9, grip_support 0.3",
    "chuck_grip": "index_flexion 0.6, middle_flexion 0.7, thumb_flexion 0.8, grip_support 0.4",
    "pointing": "index_extension 0.8, middle_flexion 0.5, ring_flexion 0.6, little_flexion 0.5, thumb_flexion 0.3",
    "thumb_up": "thumb_extension 0.9, finger_flexion 0.6, grip_support 0.3",
}

_A = {
    f"{digit}_{way}": f"{digit}_{way} 0.9"
    for digit in ("index", "middle", "ring", "little")
    for way in ("flexion", "extension")
} | {f"thumb_{way}": f"thumb_{way} 1" for way in ("adduction", "abduction", "flexion", "extension")}

_B = {
    "thumb_up": _COMMON["thumb_up"],
    "index_middle_extended": "index_extension 0.7, middle_extension 0.7, ring_flexion 0.6, little_flexion 0.6,"
    " thumb_flexion 0.3",
    "ring_little_flexed": "ring_flexion 0.8, little_flexion 0.8, index_extension 0.4, middle_extension 0.4,"
    " thumb_extension 0.4",
    "thumb_to_little_base": "thumb_flexion 0.9, thumb_adduction 0.5, finger_extension 0.4, wrist_flexion 0.15",
    "fingers_abducted": "finger_abduction 1, finger_extension 0.3, thumb_abduction 0.4",
    "fist": _COMMON["hand_close"],
    "pointing_index": _COMMON["pointing"],
    "fingers_adducted": "finger_adduction 1, finger_extension 0.3",
    "supination_middle": "supination 1",
    "pronation_middle": "pronation 1",
    "supination_little": "supination 0.8, ulnar_deviation 0.35, little_extension 0.2",
    "pronation_little": "pronation 0.8, ulnar_deviation 0.35, little_flexion 0.15",
    "wrist_flexion": "wrist_flexion 1",
    "wrist_extension": "wrist_extension 1",
    "radial_deviation": "radial_deviation 1",
    "ulnar_deviation": "ulnar_deviation 1",
    "wrist_extension_fist": "wrist_extension 0.9, finger_flexion 0.6, thumb_flexion 0.4",
}

_C = {
    "large_diameter": "finger_flexion 0.5, finger_extension 0.3, thumb_flexion 0.5, thumb_abduction 0.4,"
    " grip_support 0.6",
    "small_diameter": "finger_flexion 0.8, thumb_flexion 0.6, grip_support 0.7",
    "fixed_hook": "finger_flexion 0.8, thumb_adduction 0.2, grip_support 0.3",
    "index_extension_grasp": "index_extension 0.5, middle_flexion 0.6, ring_flexion 0.6, little_flexion 0.6,"
    " thumb_flexion 0.5, grip_support 0.5",
    "medium_wrap": "finger_flexion 0.65, thumb_flexion 0.7, thumb_abduction 0.2, grip_support 0.7",
    "ring_grasp": "index_flexion 0.6, thumb_flexion 0.6, thumb_abduction 0.4, grip_support 0.4",
    "prismatic_four_finger": "index_flexion 0.4, middle_flexion 0.4, ring_flexion 0.4, little_flexion 0.3,"
    " thumb_flexion 0.6, finger_extension 0.2, grip_support 0.3",
    "stick_grasp": "index_flexion 0.6, middle_flexion 0.3, thumb_adduction 0.7, ring_flexion 0.3, grip_support 0.5",
    "writing_tripod": "index_flexion 0.5, middle_flexion 0.3, thumb_flexion 0.6, wrist_extension 0.3, little_flexion 0.2",
    "power_sphere": "finger_flexion 0.6, finger_abduction 0.4, thumb_flexion 0.6, thumb_abduction 0.4, grip_support 0.6",
    "three_finger_sphere": "index_flexion 0.5, middle_flexion 0.5, finger_abduction 0.3, thumb_flexion 0.6,"
    " thumb_abduction 0.5, grip_support 0.4",
    "precision_sphere": "finger_flexion 0.35, finger_abduction 0.5, thumb_flexion 0.5, thumb_abduction 0.5,"
    " grip_support 0.3",
    "tripod": "index_flexion 0.6, middle_flexion 0.6, thumb_flexion 0.7, grip_support 0.35",
    "prismatic_pinch": "index_flexion 0.6, thumb_flexion 0.7, middle_extension 0.2, ring_extension 0.2,"
    " grip_support 0.25",
    "tip_pinch": "index_flexion 0.8, thumb_flexion 0.9, ring_extension 0.15, little_extension 0.15, grip_support 0.25",
    "quadpod": "index_flexion 0.5, middle_flexion 0.5, ring_flexion 0.5, thumb_flexion 0.7, grip_support 0.35",
    "lateral": "thumb_adduction 0.9, thumb_flexion 0.5, index_flexion 0.5, middle_flexion 0.4, grip_support 0.4",
    "parallel_extension": "finger_extension 0.5, index_flexion 0.3, middle_flexion 0.3, thumb_flexion 0.5,"
    " thumb_abduction 0.4, grip_support 0.2",
    "extension_type": "finger_extension 0.6, thumb_adduction 0.6, finger_flexion 0.25, radial_deviation 0.3",
    "power_disk": "finger_flexion 0.5, finger_abduction 0.6, thumb_abduction 0.5, pronation 0.4, grip_support 0.5",
    "open_bottle_tripod": "index_flexion 0.6, middle_flexion 0.5, thumb_flexion 0.7, supination 0.6, grip_support 0.4",
    "turn_screw": "index_flexion 0.5, thumb_flexion 0.7, supination 0.7, finger_flexion 0.3, grip_support 0.4",
    "cut": "index_extension 0.4, finger_flexion 0.55, thumb_adduction 0.5, ulnar_deviation 0.4, pronation 0.3",
}

_D = {
    "little_press": "little_flexion 1",
    "ring_press": "ring_flexion 1",
    "middle_press": "middle_flexion 1",
    "index_press": "index_flexion 1",
    "thumb_away_press": "thumb_abduction 1",
    "thumb_press": "thumb_flexion 1",
    "index_little_press": "index_flexion 0.9, little_flexion 0.9",
    "ring_middle_press": "ring_flexion 0.9, middle_flexion 0.9",
    "index_thumb_press": "index_flexion 0.9, thumb_flexion 0.9",
}


def _unique(*parts: dict[str, str]) -> dict[str, str]:
    return {name: spec for part in parts for name, spec in part.items()}


GESTURES: dict[str, str] = _unique(_A, _B, _C, _D, _COMMON)
"""Joint actions and their weights, by name of the gesture."""

CATALOGUES: dict[str, tuple[str, ...]] = {
    "common": tuple(_COMMON),
    "A": tuple(_A),
    "B": tuple(_B),
    "ABC": (*_A, *_B, *_C),
    "BCD": (*_B, *_C, *_D),
}
"""Lists of gestures; a preset takes the first `n_gestures` of one of them."""


def activation(gesture: str) -> dict[str, float]:
    """Return the excitation of each muscle, 0 to 1, for a gesture at full effort.

    >>> activation("wrist_flexion")
    {'FCR': 0.9, 'FCU': 0.8, 'PL': 0.8, 'FDS3': 0.2}
    """
    total: dict[str, float] = {}
    for part in GESTURES[gesture].split(","):
        action, weight = part.split()
        for muscle, share in ACTIONS[action].items():
            total[muscle] = max(total.get(muscle, 0.0), 0.0) + share * float(weight)
    return {muscle: min(value, 1.0) for muscle, value in total.items()}
