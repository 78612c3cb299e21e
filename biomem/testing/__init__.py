"""Checks that third-party models can run too, and the toy models they are shown on."""

from __future__ import annotations

from biomem.testing.contract import ContractReport as ContractReport
from biomem.testing.contract import check_model as check_model
from biomem.testing.toys import LeakyIntegrator as LeakyIntegrator
from biomem.testing.toys import LeakyIntegratorParams as LeakyIntegratorParams

__all__ = ["ContractReport", "LeakyIntegrator", "LeakyIntegratorParams", "check_model"]
