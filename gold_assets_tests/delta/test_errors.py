"""What libraries say of a failure, in words that say what it is."""

import pytest

from gold_assets.delta.errors import reason, remedy

pytestmark = pytest.mark.sail


@pytest.mark.parametrize(
    "said",
    [
        "Arrow error: Offset overflow error: 2457600000",
        "In column 6: Invalid: Negative offsets in binary array",
        "Failed casting from large_string to string: input array too large",
    ],
    ids=["delta-rs", "pyarrow", "pyarrow's dataset"],
)
def test_rows_that_are_too_large_are_told_as_that_and_not_as_a_full_disk_or_missing_files(said: str) -> None:
    error = Exception(said)
    assert reason(error).startswith("rows are so large that those which are handled at once")
    assert remedy(error, "see that the files are there").startswith(
        "make the largest texts or binaries of Silver smaller"
    )


def test_rows_that_sail_reads_too_many_of_at_once_are_told_with_the_setting_that_mends_it() -> None:
    error = Exception("Parquet argument error: Parquet error: index overflow decoding byte array")
    assert reason(error).startswith("rows are so large that 8,192 of them, which Sail reads at once")
    assert remedy(error, "make room").startswith("set SAIL_EXECUTION__BATCH_SIZE=512 in the environment")


def test_a_store_that_does_not_answer_is_told_in_few_words_also_where_its_client_says_all_on_one_line() -> None:
    error = Exception(
        "Generic error: Generic S3 error: Error performing GET http://store/log in 2.9s, after 10 retries, max_retries: 10, "
        "retry_timeout: 180s  - HTTP error: error sending request"
    )
    assert reason(error) == "the store does not answer at http://store/log: HTTP error: error sending request"
