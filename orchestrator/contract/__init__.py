"""Read one client's contract: YAML in, frozen values or all mistakes out."""

from orchestrator.contract.load import check, contract_digest, find_client, load_contract, parse_contract
from orchestrator.contract.model import Contract

__all__ = ["Contract", "check", "contract_digest", "find_client", "load_contract", "parse_contract"]
