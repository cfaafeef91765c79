"""Enriched transactions: what their columns and rows must be."""

from gold_assets.declaring.column import Column
from gold_assets.declaring.source import Rule, Source

AMOUNT = Column("amount", "decimal(18,4)", "Money spent, in the currency of the source.")
RATIO = Column("usage_cost_ratio", "number", "Usage paid for relative to its cost; NULL without a cost.")

source = Source(
    "transactions",
    columns=(
        Column("user_id", "key", "Who spent."),
        Column("product_id", "key", "What it was spent on."),
        AMOUNT,
        RATIO,
        Column("risk_level", "string", "low, medium or high; NULL where it was not rated."),
        Column("event_date", "date", "UTC date of the transaction; of a timestamp its UTC date counts."),
    ),
    rules=(
        Rule("user_id_is_missing", "user_id is NULL or blank", reads="user_id"),
        Rule("product_id_is_missing", "product_id is NULL or blank", reads="product_id"),
        Rule("amount_is_not_money", "amount is NULL, NaN, infinite or does not fit DECIMAL(18,4)", reads="amount"),
        Rule("usage_cost_ratio_is_not_finite", "usage_cost_ratio is NaN or infinite", reads="usage_cost_ratio"),
        Rule(
            "risk_level_is_unknown",
            "risk_level is none of low, medium, high",
            # As one of the levels, NULL spares each row a test of its own.
            "coalesce(risk_level, 'low') IN ('low', 'medium', 'high')",
        ),
        Rule("event_date_is_missing", "event_date is NULL", reads="event_date"),
    ),
    description="Enriched transactions, a Delta table that others write: append, update, delete, late rows. "
    "Each row is one transaction. Observing it finds the dates that have changed.",
)
