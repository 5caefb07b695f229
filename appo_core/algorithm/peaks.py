"""The best candidates of rows, one after another, without reading the rows again for each.

Shape suffixes: C contests of R rows each, N blocks of K tokens, T blocks that a point touches.
"""

import torch
from torch import Tensor

from appo_core.algorithm.masking import Mask
from appo_core.algorithm.rows import fresh, pieces

BLOCK = 64
"""Tokens per block: a point costs the maxima of a row's blocks, and the tokens of the blocks it touches."""


class Peaks:
    """The candidates that are still open, and the maximum of every block of them."""

    def __init__(self, score_BL: Tensor, candidate_BL: Tensor, min_distance: int) -> None:
        self.score_BL, self.length = score_BL, score_BL.shape[1]
        self.open_BL = fresh(candidate_BL.shape, torch.bool, candidate_BL.device).copy_(candidate_BL)
        self.reach = min(min_distance, self.length)
        self.best_BN = self._block_maxima()
        if bool((self.best_BN.isnan() | (self.best_BN == torch.inf)).any()):
            self._refuse()

    def take(self, contest_CR: Tensor, share_C: Tensor) -> list[tuple[int, int, float]]:
        """Row, position and score of up to `share_C` points of every contest, each the best that is left in its rows
        and out of reach of those taken before; ties to the earlier row, then the earlier position."""
        taken: list[tuple[int, int, float]] = []
        share_C = share_C.clone()
        row_best_B = self.best_BN.amax(dim=1)
        while True:
            best_CR = row_best_B[contest_CR].masked_fill(contest_CR < 0, -torch.inf)
            best_C, place_C = best_CR.max(dim=1)
            going_C = ((share_C > 0) & (best_C > -torch.inf)).nonzero().squeeze(1)
            if not len(going_C):
                return taken
            row_C = contest_CR[going_C, place_C[going_C]]
            split_C = self._position(row_C)
            taken += zip(row_C.tolist(), split_C.tolist(), best_C[going_C].tolist(), strict=True)
            self._close(row_C, split_C)
            row_best_B[row_C] = self.best_BN[row_C].amax(dim=1)
            share_C[going_C] -= 1
            contest_CR, share_C = contest_CR[going_C], share_C[going_C]

    def _block_maxima(self) -> Tensor:
        whole = self.length - self.length % BLOCK
        best_BN = self.score_BL.new_empty((len(self.score_BL), -(-self.length // BLOCK)))
        for rows, (memory_BL, open_score_BL) in pieces(self.score_BL, 2):
            Mask(self.open_BL[rows], memory_BL).sink_(open_score_BL.copy_(self.score_BL[rows]))
            torch.amax(open_score_BL[:, :whole].unflatten(1, (-1, BLOCK)), dim=2, out=best_BN[rows, : whole // BLOCK])
            if whole < self.length:
                best_BN[rows, -1] = open_score_BL[:, whole:].amax(dim=1)
        return best_BN

    def _open_scores(self, row_C: Tensor, block_CT: Tensor) -> Tensor:
        """(C, T, K) scores of some blocks, -inf where nothing is open or the row has ended."""
        token_CTK = block_CT.unsqueeze(2) * BLOCK + torch.arange(BLOCK, device=row_C.device)
        inside_CTK, row_C11 = token_CTK < self.length, row_C[:, None, None]
        token_CTK = token_CTK.clamp_max(self.length - 1)
        open_CTK = self.open_BL[row_C11, token_CTK] & inside_CTK
        return self.score_BL[row_C11, token_CTK].masked_fill(~open_CTK, -torch.inf)

    def _position(self, row_C: Tensor) -> Tensor:
        """First position of every row's best open score."""
        block_C1 = self.best_BN[row_C].max(dim=1, keepdim=True).indices
        return block_C1.squeeze(1) * BLOCK + self._open_scores(row_C, block_C1).squeeze(1).max(dim=1).indices

    def _close(self, row_C: Tensor, split_C: Tensor) -> None:
        """Nothing within reach of the points stays open."""
        near_CD = split_C.unsqueeze(1) + torch.arange(-self.reach, self.reach + 1, device=row_C.device)
        near_CD = near_CD.clamp(0, self.length - 1)
        self.open_BL[row_C.unsqueeze(1), near_CD] = False
        touched = torch.arange((2 * self.reach) // BLOCK + 2, device=row_C.device)
        block_CT = (near_CD[:, :1] // BLOCK + touched).clamp_max(self.best_BN.shape[1] - 1)
        self.best_BN[row_C.unsqueeze(1), block_CT] = self._open_scores(row_C, block_CT).amax(dim=2)

    def _refuse(self) -> None:
        bad_X2 = (self.open_BL & (self.score_BL.isnan() | (self.score_BL == torch.inf))).nonzero()
        row, position = bad_X2[0].tolist()
        raise ValueError(
            f"score_BL is {float(self.score_BL[row, position])} at row {row}, position {position}: "
            "it must be finite where candidate_BL is set"
        )
