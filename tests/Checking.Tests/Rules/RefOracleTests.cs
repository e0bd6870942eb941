using Fleet.Kernel.History;
using Xunit.Abstractions;

namespace Fleet.Checking.Tests.Rules;

/// <summary>The rules of a percpu_ref against an oracle that tries all that lost records may have been.</summary>
[Trait("tier", "fast")]
public sealed class RefOracleTests(ITestOutputHelper output)
{
    private const int Histories = 8_000;

    private static readonly EventKind[] Kinds =
    [
        EventKind.RefInit, EventKind.RefKill, EventKind.SwitchDone, EventKind.RefZero, EventKind.RefGet,
        EventKind.WaitEnd, EventKind.RefExit, EventKind.CleanupBegin,
    ];

    private static readonly string[] Judged =
    [
        "EXIT-AFTER-ZERO", "EXIT-NOT-SWITCHING", "KILL-ONCE", "NO-GET-FROM-ZERO", "WAIT-EFFECTIVE",
        "CLEANUP-ONCE-AFTER-KILL",
    ];

    // Goal: never a finding that something a lost record may have been refutes; never valid where all of it violates;
    // and with nothing lost, a finding exactly where there is a violation.
    // Method: random steps of one ref, some of them lost; the oracle puts every kind of step, and none, at each.
    [Fact]
    public void A_ref_is_found_broken_only_when_everything_lost_records_may_say_breaks_it()
    {
        var (found, refuted, whole) = (Judged.ToDictionary(r => r, _ => 0), Judged.ToDictionary(r => r, _ => 0), 0);
        for (var seed = 0; seed < Histories; seed++)
        {
            var random = new Random(seed);
            var steps = Enumerable.Range(0, random.Next(2, 8)).Select(_ => Kinds[random.Next(Kinds.Length)]).ToArray();
            var lost = steps.Select(_ => random.Next(5) == 0).ToArray();
            var everywhere = Fills(steps, lost, 0).Select(Broken).ToList();
            var report = World(steps, lost).Check();
            foreach (var rule in Judged)
            {
                var isFound = report.Findings.Any(f => f.Rule == rule);
                var isBroken = everywhere.TrueForAll(broken => broken.Contains(rule));
                Assert.False(isFound && !isBroken, $"seed {seed}: {rule} is refuted; {Text(steps, lost)}");
                Assert.False(
                    isBroken && report.Verdict is RunVerdict.Valid, $"seed {seed}: {rule}; {Text(steps, lost)}");
                if (!Array.Exists(lost, l => l))
                {
                    Assert.True(isFound == isBroken, $"seed {seed}: {rule}; {Text(steps, lost)}");
                    whole++;
                }

                found[rule] += isFound ? 1 : 0;
                refuted[rule] += !isBroken && everywhere.Exists(broken => broken.Contains(rule)) ? 1 : 0;
            }
        }

        foreach (var rule in Judged)
        {
            output.WriteLine($"{rule}: found {found[rule]} times, refuted by what may be lost {refuted[rule]} times");
            Assert.True(found[rule] > 40 && refuted[rule] > 40, rule);
        }

        Assert.True(whole > 400);
    }

    private static IEnumerable<EventKind[]> Fills(EventKind[] steps, bool[] lost, int from)
    {
        var next = Array.IndexOf(lost, true, from);
        if (next < 0)
        {
            if (!HasLostKillBesideAnother(steps, lost))
            {
                yield return [.. steps];
            }

            yield break;
        }

        foreach (var kind in Kinds.Append(EventKind.None))
        {
            var filled = steps.ToArray();
            filled[next] = kind;

            // The count reaches zero, and the switch ends, only after a kill.
            var init = Array.FindLastIndex(filled, next, k => k is EventKind.RefInit);
            var kill = Array.FindLastIndex(filled, next, k => k is EventKind.RefKill);
            if (kind is EventKind.RefZero or EventKind.SwitchDone && kill <= init)
            {
                continue;
            }

            foreach (var rest in Fills(filled, lost, next + 1))
            {
                yield return rest;
            }
        }
    }

    /// <summary>What is lost explains what is recorded, and breaks no rule of its own: a second kill would.</summary>
    private static bool HasLostKillBesideAnother(EventKind[] steps, bool[] lost)
    {
        var (kills, isLost) = (0, false);
        for (var i = 0; i < steps.Length; i++)
        {
            if (steps[i] is EventKind.RefInit)
            {
                (kills, isLost) = (0, false);
            }
            else if (steps[i] is EventKind.RefKill)
            {
                kills++;
                isLost |= lost[i];
                if (kills > 1 && isLost)
                {
                    return true;
                }
            }
        }

        return false;
    }

    private static HashSet<string> Broken(EventKind[] steps)
    {
        var broken = new HashSet<string>();
        var (kills, switched, zero, cleaned) = (0, false, false, false);
        foreach (var step in steps)
        {
            switch (step)
            {
                case EventKind.RefInit:
                    (kills, switched, zero, cleaned) = (0, false, false, false);
                    break;
                case EventKind.RefKill:
                    Add(kills > 0, "KILL-ONCE");
                    kills++;
                    break;
                case EventKind.SwitchDone: switched |= kills > 0; break;
                case EventKind.RefZero:
                    Add(zero, "NO-GET-FROM-ZERO");
                    zero = true;
                    break;
                case EventKind.RefGet: Add(zero, "NO-GET-FROM-ZERO"); break;
                case EventKind.WaitEnd: Add(!zero, "WAIT-EFFECTIVE"); break;
                case EventKind.RefExit:
                    Add(kills > 0 && !zero, "EXIT-AFTER-ZERO");
                    Add(kills > 0 && !switched, "EXIT-NOT-SWITCHING");
                    break;
                case EventKind.CleanupBegin:
                    Add(kills == 0 || cleaned, "CLEANUP-ONCE-AFTER-KILL");
                    cleaned = true;
                    break;
                default: break;
            }
        }

        return broken;

        void Add(bool isBroken, string rule)
        {
            if (isBroken)
            {
                broken.Add(rule);
            }
        }
    }

    private static World World(EventKind[] steps, bool[] lost)
    {
        var w = new World();
        w.Incarnation(Tests.World.Ref(0));
        w.Event(EventKind.RefInit, Tests.World.Ref(0));
        for (var i = 0; i < steps.Length; i++)
        {
            if (lost[i])
            {
                w.Skip(Tests.World.Ref(0));
            }
            else
            {
                w.Event(steps[i], Tests.World.Ref(0));
            }
        }

        return w;
    }

    private static string Text(EventKind[] steps, bool[] lost) =>
        string.Join(' ', steps.Select((step, i) => lost[i] ? $"({step})" : $"{step}"));
}
