"""The published formulations of the benchmark compute the same as the functions that are measured against them."""

import torch

from appo_core.algorithm import branching_score, future_value, policy_loss
from appo_core.bench.algorithm import rollouts
from appo_core.bench.published import branching_scores, future_kl_loss
from appo_core.config.algorithm import LossSettings


def test_branching_scores() -> None:
    arrays = {name: x.double() if x.is_floating_point() else x for name, x in rollouts(3, 400, injected=1).items()}
    omega_BL = future_value(arrays["now"], arrays["behaviour"], arrays["mask"], gamma=0.99, clip=0.2)
    score_BL, _ = branching_score(arrays["entropy"], omega_BL, arrays["mask"])
    torch.testing.assert_close(torch.stack(branching_scores(arrays, 0.99, 0.2)), score_BL, rtol=1e-3, atol=1e-4)


def test_future_kl_loss_where_nothing_was_injected() -> None:
    """The published discount counts injected tokens too."""
    arrays = {name: x.double() for name, x in rollouts(3, 400, injected=0).items()}
    mask_BL = arrays["mask"].bool()
    logp_BL = (arrays["behaviour"] + 0.4 * torch.randn(3, 400)).requires_grad_()
    tensors = (logp_BL, arrays["behaviour"], arrays["advantage"], mask_BL)
    ours, theirs = policy_loss(*tensors, LossSettings()).loss_sum, future_kl_loss(*tensors)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logp_BL)[0] for loss in (ours, theirs)))
