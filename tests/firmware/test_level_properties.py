"""Level and geometry for whatever readings, mountings and air there are."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kerbnode import config
from kerbnode.bin import geometry, level
from kerbtools.bench import levels_world
from kerbwire.channels import CHANNELS, DISTANCE, FAULT, FILL, NO_ECHO, NOT_FITTED, QUALITY, QUALITY_FLAGS, SPECIAL

PROFILES = st.integers(0, 5)
MOUNTINGS = st.tuples(st.integers(0, 11_900), st.integers(1, 12_000)).map(lambda pair: (pair[0], pair[0] + pair[1]))
READINGS = st.lists(st.one_of(st.just(NO_ECHO), st.integers(0, 12_000)), max_size=20)
AIR = st.one_of(st.sampled_from((FAULT, NOT_FITTED)), st.integers(-110, 250))


@given(MOUNTINGS, PROFILES, st.integers(0, 13_000), st.integers(0, 13_000))
def test_more_distance_is_never_more_waste(mounting, profile, one, other):
    full_mm, empty_mm = mounting
    near, far = sorted((one, other))
    of_near = geometry.volume_percent(near, empty_mm, full_mm, profile)
    of_far = geometry.volume_percent(far, empty_mm, full_mm, profile)
    assert 0 <= of_far <= of_near <= 100


@given(READINGS, AIR, st.sampled_from((20, 0, None)), st.integers(0, 300), MOUNTINGS, PROFILES, st.integers(1, 15))
@settings(max_examples=500)
def test_any_readings_give_a_level_in_its_range_or_say_why_not(
    readings, air, reference_c, nearest_mm, mounting, profile, echoes
):
    full_mm, empty_mm = mounting
    conf = config.parse("{}")[0] | {"empty_mm": empty_mm, "full_mm": full_mm, "profile": profile, "echoes": echoes}
    fill, distance_mm, flags = level.level(readings, air, reference_c, nearest_mm, 0, conf)
    assert fill in SPECIAL or CHANNELS[FILL].low <= fill <= CHANNELS[FILL].high
    assert distance_mm in SPECIAL or 0 <= distance_mm <= 2 * CHANNELS[DISTANCE].high
    assert 0 <= flags <= CHANNELS[QUALITY].high and not flags & ~sum(QUALITY_FLAGS)
    assert (fill == FAULT) == (not readings)
    if fill == NO_ECHO:
        assert flags
    elif fill not in SPECIAL:
        assert any(echo != NO_ECHO and echo >= nearest_mm for echo in readings)


@given(st.integers(300, 1100), st.lists(st.integers(-15, 15), min_size=5, max_size=9), st.data())
def test_a_minority_of_strays_moves_the_distance_by_no_more_than_the_noise(true_mm, noise, data):
    """Up to two of five to nine echoes anywhere, or none at all."""
    echoes = [true_mm + each for each in noise]
    strays = data.draw(st.lists(st.one_of(st.just(NO_ECHO), st.integers(1, 4500)), max_size=(len(echoes) - 1) // 2))
    readings = echoes[len(strays) :] + strays
    distance_mm, _ = level.agreed(readings, len(readings), 30)
    assert abs(distance_mm - true_mm) <= 15


@given(st.integers(0, 4500), st.integers(-40, 120), st.integers(-40, 120))
def test_warmer_air_means_farther(range_mm, one, other):
    cold, warm = sorted((one, other))
    assert level.corrected_mm(range_mm, cold, 20) <= level.corrected_mm(range_mm, warm, 20)


def test_the_table_is_that_of_the_shapes():
    """To half a per cent at the eighths, and to one and a half between them."""
    for profile, shape in levels_world.shapes().items():
        shares = levels_world.depth_shares(shape, 800)
        for step in range(0, 801, 10):
            percent = geometry.volume_percent(8000 - 10 * step, 8000, 0, profile)
            bound = 0.76 if step % 100 == 0 else 2.0
            assert abs(percent - 100 * shares[step]) <= bound, (profile, step, percent, 100 * shares[step])
