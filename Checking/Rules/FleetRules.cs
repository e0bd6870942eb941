using Fleet.Checking.History;
using Fleet.Checking.Streams;
using Fleet.Kernel.History;

namespace Fleet.Checking.Rules;

/// <summary>About Fleet, not the kernel: two incarnations of one object never serve at once.</summary>
/// <remarks>
/// Source: history-format, section Findings: (a) by one client's own sequence, (b) by clocks within their bound.
/// </remarks>
public sealed class OneIncarnation : Rule
{
    public override string Name => "ONE-INCARNATION";

    public override int Number => 0;

    public override FindingClass Class => FindingClass.Infrastructure;

    public override RuleNeeds Needs => RuleNeeds.Clocks;

    public override string Claim => "An incarnation answers nothing that was sent after a newer one was seen to serve.";

    public override string Source => "history-format, section Findings";

    internal void Violated(ObjectStream stream, Operation old, Operation seen, HistoryEvent? newer) =>
        stream.Ledger.Violated(this, Class, newer is null ? "client" : "clock", stream.Obj, () => newer is null
            ? new(
                $"Let C = {stream.Context.Name(old.Client)}. Then C had an answer of incarnation {seen.At.Gen} of "
                + $"{stream.Name} (operation {seen.Number}); however, operation {old.Number}, "
                + $"which C sent later, was answered by incarnation {old.At.Gen}: both served at once.",
                [seen, old])
            : new(
                $"Let O = operation {old.Number} of {stream.Context.Name(old.Client)}. Then incarnation "
                + $"{newer.At.Gen} of {stream.Name} began at {newer.TimeNs} ns; however, O was sent at "
                + $"{old.SentNs} ns and answered by incarnation {old.At.Gen}: both served at once.",
                [newer, old]));
}
