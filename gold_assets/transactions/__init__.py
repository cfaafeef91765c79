"""This business: transactions, and the tables that are made from them. No other room knows of it."""

from gold_assets.declaring.project import Project
from gold_assets.transactions.source import source
from gold_assets.transactions.tables import TABLES

project = Project("transactions", source, TABLES)
