"""Places of tables."""

from gold_assets.delta.places import beside


def test_a_recorded_place_is_found_beside_the_declared_one_however_that_ends() -> None:
    assert beside("/now/clicks", "/then/clicks") == "/now/clicks"
    assert beside("/now/clicks/", "/then/clicks_layout2") == "/now/clicks_layout2"
    assert beside("s3://lake/clicks/", "s3://lake/clicks_layout3/") == "s3://lake/clicks_layout3"
    assert beside("/now/clicks_layout2", "/then/clicks_layout2") == "/now/clicks_layout2"
    assert beside("/now/clicks_layout2", "/then/clicks_layout2_layout2") == "/now/clicks_layout2_layout2"
