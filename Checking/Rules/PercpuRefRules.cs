using Fleet.Checking.Streams;
using Fleet.Kernel.History;

namespace Fleet.Checking.Rules;

/// <summary>I3: a ref's memory is given up only after its count was seen at zero.</summary>
public sealed class ExitAfterZero : Rule, IRefRule
{
    public override string Name => "EXIT-AFTER-ZERO";

    public override int Number => 3;

    public override string Claim => "A killed ref exits only after its release ran.";

    public override string Source => "percpu_ref_exit after wait_for_completion of the release";

    IReadOnlyList<EventKind> IRefRule.Kinds { get; } = [EventKind.RefExit];

    void IRefRule.Judge(RefStream @ref, HistoryEvent record)
    {
        var life = @ref.Now;
        if (life.KillSeq == 0)
        {
            // Init-failure unwinding: never killed, never shared.
            return;
        }

        if (life.ZeroSeq != 0 && record.Count != 0)
        {
            // A single-step recording says what the count was.
            var zero = @ref.Zero;
            @ref.Ledger.Violated(this, Class, "revived", @ref.Obj, () => new(
                $"Let R = {@ref.Name}. Then R reached zero at {Prose.At(zero)} and nobody may take it again; however, "
                + $"percpu_ref_exit(R) ran at seq {record.At.Seq} with a count of {record.Count}: a contradiction.",
                @ref.Kill is { } killed && zero is not null ? [killed, zero, record] : [record]));
        }
        else if (life.ZeroSeq != 0)
        {
            @ref.Ledger.Ok(this);
        }
        else if (@ref.HasGapBetween(life.KillSeq, record.At.Seq))
        {
            @ref.Ledger.Undecided(this);
        }
        else
        {
            var kill = @ref.Kill;
            @ref.Ledger.Violated(this, Class, "exit", @ref.Obj, () => new(
                $"Let R = {@ref.Name}. Then R was killed at {Prose.At(kill)} and its release had not run; however, "
                + $"percpu_ref_exit(R) ran at seq {record.At.Seq}: a contradiction.",
                kill is null ? [record] : [kill, record]));
        }
    }
}

/// <summary>I4: a ref does not exit while its switch to atomic mode is pending.</summary>
public sealed class ExitNotSwitching : Rule, IRefRule
{
    public override string Name => "EXIT-NOT-SWITCHING";

    public override int Number => 4;

    public override string Claim => "No ref exits between its kill and the end of its switch to atomic mode.";

    public override string Source => "percpu_ref_switch_to_atomic_rcu sums the per-CPU memory that exit frees";

    IReadOnlyList<EventKind> IRefRule.Kinds { get; } = [EventKind.RefExit];

    void IRefRule.Judge(RefStream @ref, HistoryEvent record)
    {
        var life = @ref.Now;
        if (life.KillSeq == 0)
        {
            return;
        }

        if (life.SwitchedSeq > life.KillSeq)
        {
            @ref.Ledger.Ok(this);
        }
        else if (@ref.HasGapBetween(life.KillSeq, record.At.Seq))
        {
            @ref.Ledger.Undecided(this);
        }
        else
        {
            var kill = @ref.Kill;
            @ref.Ledger.Violated(this, Class, "exit", @ref.Obj, () => new(
                $"Let R = {@ref.Name}. Then the kill at {Prose.At(kill)} started R's switch to atomic mode, which "
                + "was not done; however, percpu_ref_exit(R) freed "
                + $"the per-CPU counts at seq {record.At.Seq}: a contradiction.",
                kill is null ? [record] : [kill, record]));
        }
    }
}

/// <summary>I5: a ref is killed once in its life.</summary>
public sealed class KillOnce : Rule, IRefRule
{
    public override string Name => "KILL-ONCE";

    public override int Number => 5;

    public override string Claim => "A ref is killed at most once between its init and its exit.";

    public override string Source => "percpu_ref_kill_and_confirm: WARN when already dead";

    IReadOnlyList<EventKind> IRefRule.Kinds { get; } = [EventKind.RefKill];

    void IRefRule.Judge(RefStream @ref, HistoryEvent record)
    {
        if (@ref.Now.Kills == 0)
        {
            @ref.Ledger.Ok(this);
            return;
        }

        if (@ref.HasGapBetween(@ref.Now.KillSeq, record.At.Seq))
        {
            // A new life may have begun where records are missing.
            @ref.Ledger.Undecided(this);
            return;
        }

        var first = @ref.Kill;
        @ref.Ledger.Violated(this, Class, "again", @ref.Obj, () => new(
            $"Let R = {@ref.Name}. Then R was killed at {Prose.At(first)} of this life; however, it was killed again "
            + $"at seq {record.At.Seq}: a contradiction.",
            first is null ? [record] : [first, record]));
    }
}

/// <summary>I7: nobody gets a reference on a live ref once its kill was confirmed.</summary>
/// <remarks>
/// Decided by alloc: the device's fold, named in <c>switch_done.after</c>, is where it had seen the kill. An alloc that
/// succeeded later, in a mapping of that ref, took a reference that tryget_live had to refuse.
/// </remarks>
public sealed class LiveFailsAfterConfirm : Rule, IDeviceRule, IAllocRule
{
    public override string Name => "LIVE-FAILS-AFTER-CONFIRM";

    public override int Number => 7;

    public override RuleNeeds Needs => RuleNeeds.AfterEdges;

    public override string Claim =>
        "tryget_live, and the alloc that calls it, fails once the kill of the ref was confirmed.";

    public override string Source => "percpu_ref_tryget_live after percpu_ref_kill_and_confirm";

    IReadOnlyList<EventKind> IDeviceRule.Kinds { get; } = [EventKind.TeardownEnd];

    void IAllocRule.JudgeAlloc(DeviceStream device, in Operation op)
    {
        if (op.Outcome is OperationOutcome.Fail && op.Owner != 0 && device.InReleaseAll)
        {
            device.Ledger.Ok(this);
        }
    }

    void IDeviceRule.Judge(DeviceStream device, HistoryEvent record)
    {
        if (device.MappingAt(record.Start) is not { MadeInTeardown: { } made } mapping)
        {
            return;
        }

        mapping.MadeInTeardown = null;
        foreach (var at in record.After)
        {
            if (device.Context.Objects.Kind(at.Obj) is ObjectKind.Ref)
            {
                var position = at;
                device.Group.WhenReached(at, reached => Decide(device, made, position, reached));
            }
        }
    }

    private void Decide(DeviceStream device, List<LiveAllocation> made, Position at, bool reached)
    {
        var life = reached && device.Group.Refs.TryGetValue(at.Obj, out var @ref)
            ? @ref.LifeAt(at.Gen, at.Seq)
            : default;
        foreach (var allocation in made)
        {
            if (life.FoldSeq == 0 || life.FoldGen != allocation.Id.Gen)
            {
                device.Ledger.Undecided(this);
            }
            else if (allocation.Seq <= life.FoldSeq)
            {
                device.Ledger.Ok(this);
            }
            else
            {
                var (a, fold) = (allocation, life.FoldSeq);
                device.Ledger.Violated(this, Class, "alloc", device.Obj, () => new(
                    $"Let A = {Prose.Allocation(device.Context, a)}, R = {device.Context.Name(at.Obj)}. Then the "
                    + $"kill of R was seen at the device by seq {fold}, so that "
                    + "percpu_ref_tryget_live(R) has to fail; however, A was made later, in the mapping that R "
                    + "counts: a contradiction.",
                    [a.Record()]));
            }
        }
    }
}

/// <summary>I9: the release of a ref runs at zero.</summary>
/// <remarks>
/// A release that runs a second time, at zero again, is the doing of a get from zero: NO-GET-FROM-ZERO. A second kill
/// drops a reference that somebody else owes: where the ref outlives the history, its count stays one short.
/// </remarks>
public sealed class CountConservation : Rule, IRefRule, IRefEndRule
{
    public override string Name => "COUNT-CONSERVATION";

    public override int Number => 9;

    public override string Claim => "The release of a ref runs when its count is zero.";

    public override string Source =>
        "percpu_ref_put_many: release on reaching zero; a second kill drops a reference that is not its own";

    IReadOnlyList<EventKind> IRefRule.Kinds { get; } = [EventKind.RefZero];

    void IRefRule.Judge(RefStream @ref, HistoryEvent record)
    {
        if (record.Count == 0)
        {
            @ref.Ledger.Ok(this);
            return;
        }

        var kill = @ref.Kill;
        @ref.Ledger.Violated(this, Class, "not-zero", @ref.Obj, () => new(
            $"Let R = {@ref.Name}. Then its release runs when nobody holds R; however, at seq {record.At.Seq} it ran "
            + $"with a count of {record.Count}: a contradiction.",
            kill is null ? [record] : [kill, record]));
    }

    void IRefEndRule.JudgeEnd(RefStream @ref)
    {
        var life = @ref.Now;
        if (life.Kills < 2 || life.ExitSeq != 0 || life.Fenced)
        {
            return;
        }

        var header = @ref.Context.Header;
        if (!header.Quiescent || !header.Complete || @ref.HasGapBetween(life.InitSeq, long.MaxValue)
            || @ref.Group.Device is { OopsEver: true } or { HangSeen: true })
        {
            @ref.Ledger.Undecided(this);
            return;
        }

        var (kill, again) = (@ref.Kill, @ref.KillAgain);
        @ref.Ledger.Violated(this, Class, "one-short", @ref.Obj, () => new(
            $"Let R = {@ref.Name}. Then the kill at {Prose.At(kill)} dropped the one reference that R began with, and "
            + $"every other is its holder's to put; however, the kill at {Prose.At(again)} dropped one more, so that R "
            + "ends with a count one below what is owed: a contradiction.",
            kill is null || again is null ? [] : [kill, again]));
    }
}

/// <summary>I8: nobody takes a reference on a ref that has reached zero.</summary>
/// <remarks>
/// A ref that reaches zero twice in a life was got from zero in between, whether that get was recorded or not.
/// </remarks>
public sealed class NoGetFromZero : Rule, IRefRule
{
    public override string Name => "NO-GET-FROM-ZERO";

    public override int Number => 8;

    public override string Claim => "No plain get revives a ref whose count has reached zero.";

    public override string Source => "percpu_ref_get, percpu_ref_get_many in devm_memremap_pages";

    IReadOnlyList<EventKind> IRefRule.Kinds { get; } = [EventKind.RefGet, EventKind.RefZero];

    void IRefRule.Judge(RefStream @ref, HistoryEvent record)
    {
        if (@ref.Now.ZeroSeq == 0)
        {
            @ref.Ledger.Ok(this);
            return;
        }

        if (@ref.HasGapBetween(@ref.Now.ZeroSeq, record.At.Seq))
        {
            @ref.Ledger.Undecided(this);
            return;
        }

        var zero = @ref.Zero;
        var isGet = record.Kind is EventKind.RefGet;
        @ref.Ledger.Violated(this, Class, isGet ? "get" : "released-again", @ref.Obj, () => new(
            $"Let R = {@ref.Name}. Then R reached zero at {Prose.At(zero)}; however, "
            + (isGet
                ? $"{record.Actor ?? "somebody"} took a reference at seq {record.At.Seq}"
                : $"it reached zero again at seq {record.At.Seq}, so somebody took a reference in between")
            + ": a contradiction.",
            zero is null ? [record] : [zero, record]));
    }
}

/// <summary>I10: a mapping's cleanup runs once, after the kill.</summary>
public sealed class CleanupOnceAfterKill : Rule, IRefRule
{
    public override string Name => "CLEANUP-ONCE-AFTER-KILL";

    public override int Number => 10;

    public override string Claim => "The cleanup callback runs once in a life, and after the kill callback.";

    public override string Source => "dev_pagemap_cleanup after dev_pagemap_kill in devm_memremap_pages_release";

    IReadOnlyList<EventKind> IRefRule.Kinds { get; } = [EventKind.CleanupBegin];

    void IRefRule.Judge(RefStream @ref, HistoryEvent record)
    {
        var life = @ref.Now;
        if (life.KillSeq != 0 && (life.CleanupSeq == 0 || @ref.IsShared))
        {
            // A ref that all resources of a device share is cleaned up by each of their mappings.
            @ref.Ledger.Ok(this);
        }
        else if (@ref.HasGapBetween(Math.Max(life.InitSeq, life.CleanupSeq), record.At.Seq))
        {
            @ref.Ledger.Undecided(this);
        }
        else
        {
            var (again, first) = (life.CleanupSeq != 0, life.CleanupSeq);
            @ref.Ledger.Violated(this, Class, again ? "again" : "before-kill", @ref.Obj, () => new(
                $"Let R = {@ref.Name}. Then its cleanup "
                + $"{(again ? $"ran at seq {first} of this life" : "has to follow its kill")}; however, "
                + $"it ran {(again ? "again" : "before any kill")} at seq {record.At.Seq}: a contradiction.",
                [record]));
        }
    }
}

/// <summary>I38: a wait in a teardown ends only when the life it waits for has reached zero.</summary>
public sealed class WaitEffective : Rule, IRefRule
{
    public override string Name => "WAIT-EFFECTIVE";

    public override int Number => 38;

    public override string Claim => "A teardown's wait ends only after the ref it waits for reached zero in this life.";

    public override string Source => "wait_for_completion on a completion that an earlier life may have left latched";

    IReadOnlyList<EventKind> IRefRule.Kinds { get; } = [EventKind.WaitEnd];

    void IRefRule.Judge(RefStream @ref, HistoryEvent record)
    {
        var life = @ref.Now;
        if (record.Count > 0)
        {
            // A single-step recording says what the count was: revived from zero, it is no zero of this wait.
            @ref.Ledger.Violated(this, Class, "latched", @ref.Obj, () => new(
                $"Let R = {@ref.Name}. Then the teardown's wait for it ended at seq {record.At.Seq}; however, R still "
                + $"counted {record.Count}: a contradiction. The completion was left latched from before.",
                @ref.Kill is { } kill ? [kill, record] : [record]));
        }
        else if (life.ZeroSeq != 0)
        {
            @ref.Ledger.Ok(this);
        }
        else if (!life.Exists || @ref.HasGapBetween(life.InitSeq, record.At.Seq))
        {
            @ref.Ledger.Undecided(this);
        }
        else
        {
            var init = life.InitSeq;
            @ref.Ledger.Violated(this, Class, "latched", @ref.Obj, () => new(
                $"Let R = {@ref.Name}, of the life that began at seq {init}. Then R has not reached zero in this "
                + "life; however, the teardown's wait for it ended at "
                + $"seq {record.At.Seq}: a contradiction. The completion was left latched by an earlier life.",
                @ref.Kill is { } kill ? [kill, record] : [record]));
        }
    }
}

/// <summary>
/// I39: after a kill the switch ends, after the last put the release runs, after the release the waiter wakes.
/// </summary>
public sealed class KillProgress : Rule, IRefEndRule, IRefRule
{
    public override string Name => "KILL-PROGRESS";

    public override int Number => 39;

    public override FindingClass Class => FindingClass.Liveness;

    public override RuleNeeds Needs => RuleNeeds.Quiescence;

    public override string Claim => "A killed ref switches, and a ref that reached zero wakes whoever waits for it.";

    public override string Source =>
        "percpu_ref_kill → percpu_ref_switch_to_atomic_rcu → release → complete → wait_for_completion";

    IReadOnlyList<EventKind> IRefRule.Kinds { get; } = [EventKind.SwitchDone, EventKind.WaitEnd];

    void IRefRule.Judge(RefStream @ref, HistoryEvent record) => @ref.Ledger.Ok(this);

    void IRefEndRule.JudgeEnd(RefStream @ref)
    {
        var life = @ref.Now;
        var stuckSwitch = life.KillSeq != 0 && life.SwitchedSeq < life.KillSeq;
        var stuckWait = life.WaitBeginSeq > life.WaitEndSeq && life.ZeroSeq != 0;
        if (life.Fenced || (!stuckSwitch && !stuckWait))
        {
            return;
        }

        if (!@ref.Context.Header.Quiescent || !@ref.Context.Header.Complete
            || @ref.HasGapBetween(life.InitSeq, long.MaxValue)
            || @ref.Group.Device?.OopsInPass is not null)
        {
            @ref.Ledger.Undecided(this);
            return;
        }

        var (kill, zero) = (@ref.Kill, @ref.Zero);
        @ref.Ledger.Violated(this, Class, stuckSwitch ? "switch" : "wait", @ref.Obj, () => stuckSwitch
            ? new(
                $"Let R = {@ref.Name}. Then R was killed at {Prose.At(kill)} and the history ended quiescent; "
                + "however, its switch to atomic mode was never done: a contradiction.",
                kill is null ? [] : [kill])
            : new(
                $"Let R = {@ref.Name}. Then R reached zero at {Prose.At(zero)} and somebody waited for that; "
                + "however, the wait never ended: a contradiction.",
                zero is null ? [] : [zero]));
    }
}
