import dataclasses

import pytest

from gold_assets import Project, Table
from gold_assets.delta.errors import UserError
from gold_assets.transactions.source import source
from gold_assets.transactions.tables import HIGH_RISK_TXNS, USER_SPEND_SUMMARY

replace = dataclasses.replace


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        (USER_SPEND_SUMMARY, "has the table's name user_spend_summary twice"),
        (replace(HIGH_RISK_TXNS, path_setting="GOLD_WRITE_PATH_SPEND_SUMMARY"), "has the table's path_setting GOLD_"),
        (replace(HIGH_RISK_TXNS, default_path="gold/user_spend_summary"), "has the table's default_path gold/user_"),
        (replace(HIGH_RISK_TXNS, source=replace(source, description="Others.")), "high_risk_txns is made from"),
    ],
)
def test_tables_of_a_project_that_contradict_each_other_are_one_sentence(second: Table, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Project("shop", source, (USER_SPEND_SUMMARY, second))
