using CsCheck;
using Fleet.Checking.History;
using Fleet.Kernel.History;

namespace Fleet.Checking.Tests.Rules;

/// <summary>The checker against an oracle that tries every order a record permits.</summary>
[Trait("tier", "fast")]
public sealed class OracleTests
{
    private static readonly string[] Judged = ["REAP-BEFORE-REMOVE", "NO-OVERLAP"];

    // Goal: never a finding that some permitted order refutes; never silence where every permitted order violates.
    // Method: tiny random histories of one device, with unanswered operations, lost records, fences and incarnations;
    // the oracle puts each unanswered operation at each gap or nowhere and looks whether any order breaks neither rule.
    [Fact]
    public void A_device_history_is_found_broken_exactly_when_every_permitted_order_is()
    {
        var (broken, refuted) = (0, 0);
        Gen.Int.Sample(
            seed =>
            {
                var history = Tiny.Make(new Random(seed));
                var expected = history.EveryOrderViolates();
                var report = history.Check();
                Interlocked.Add(ref broken, expected && history.HasGaps ? 1 : 0);
                Interlocked.Add(ref refuted,
                    !expected && report.Rules.Any(r => Judged.Contains(r.Rule) && r.Undecided > 0) ? 1 : 0);
                var found = report.Findings.Any(f => Judged.Contains(f.Rule));
                Assert.True(
                    expected == found,
                    $"oracle {(expected ? "violated" : "not violated")}, checker: "
                    + $"{string.Join("; ", report.Findings.Select(f => f.Text))}\n{history}");
                if (expected)
                {
                    Assert.NotEqual(RunVerdict.Valid, report.Verdict);
                }
            },
            iter: 8_000);

        // Both answers were given where records are missing, so neither is the only one that the test knows.
        Assert.InRange(broken, 100, 8_000);
        Assert.InRange(refuted, 100, 8_000);
    }

    // Goal: an access after the removal is the kernel's fault exactly when the client surely held, the client's when it
    // surely did not.
    // Method: random times of the access and of the free; the oracle tries the moment of the access before and after
    // the free was sent.
    [Fact]
    public void Who_is_to_blame_for_an_access_after_removal_follows_from_the_clients_own_sequence() =>
        Gen.Select(Gen.Int[10, 20], Gen.Int[1, 10], Gen.Int[10, 30], Gen.Enum<OperationOutcome>()).Sample(
            (accessSent, accessTook, freeSent, outcome) =>
            {
                var w = new World().Bind();
                var a = w.Alloc(with: op => op with { SentNs = 1, DoneNs = 2 });
                w.BeginUnbind();
                w.Teardown(0);
                w.Access(a, error: Kernel.Errno.EFAULT, with: op => op with
                {
                    SentNs = 10_000 + accessSent,
                    DoneNs = 10_000 + accessSent + accessTook,
                });
                if (outcome is OperationOutcome.Unknown)
                {
                    w.Unanswered(OperationKind.Free, a);
                    w.Records[^1] = w.Records[^1].Operation with { SentNs = 10_000 + freeSent };
                }
                else
                {
                    w.Free(a, with: op => op with { SentNs = 10_000 + freeSent, DoneNs = 10_000 + freeSent + 5 });
                }

                w.FreeMemory(w.Pagemap(0), "p2p_pgmap");
                w.EndUnbind();

                var moments = Enumerable.Range(0, (2 * accessTook) + 1)
                    .Select(half => accessSent + (half / 2.0)).ToList();
                var held = moments.TrueForAll(m => m <= freeSent);
                var misused = moments.TrueForAll(m => m >= freeSent);
                var findings = w.Check().Findings.Where(f => f.Rule == "NO-USE-AFTER-REMOVE").ToList();

                Assert.Equal(held, findings.Exists(f => f.Class is FindingClass.Safety));
                Assert.Equal(misused && !held, findings.Exists(f => f.Class is FindingClass.Client));
            },
            iter: 3_000);

    /// <summary>
    /// A few operations on four pages, a teardown of the mapping over the first two, and what became of the records.
    /// </summary>
    private sealed class Tiny
    {
        private enum What { Alloc, Free, TeardownBegin, TeardownEnd, Fenced, Incarnation }

        private enum Recorded { Answered, Unanswered, Lost }

        private sealed record Step(
            What What, int Alloc, int Page, int Pages, Recorded Recorded, bool Executed, int Gen, long Seq);

        private readonly List<Step> _steps = [];
        private readonly World _world = new();
        private bool _complete = true;

        public static Tiny Make(Random random)
        {
            var tiny = new Tiny();
            tiny._world.Header = tiny._world.Header with { Clock = "", ClockBoundNs = null };
            var allocs = new List<(int Number, int Page, int Pages, int Gen)>();
            var freed = new HashSet<int>();
            var (seq, gen, tearing, number) = (5L, 1, 0, 0);
            var incomplete = random.Next(4) == 0;
            for (var i = random.Next(3, 9); i > 0; i--)
            {
                var recorded = random.Next(3) > 0 ? Recorded.Answered
                    : incomplete && random.Next(2) == 0 ? Recorded.Lost : Recorded.Unanswered;
                var executed = recorded is not Recorded.Unanswered || random.Next(3) > 0;
                var choice = random.Next(10);
                if (choice < 4)
                {
                    var page = random.Next(3);
                    var pages = random.Next(1, 3);
                    number++;
                    // Only what the client got an answer for can be freed by it.
                    if (recorded is Recorded.Answered)
                    {
                        allocs.Add((number, page, pages, gen));
                    }

                    tiny._steps.Add(
                        new(What.Alloc, number, page, pages, recorded, executed, gen, executed ? ++seq : 0));
                }
                else if (choice < 8)
                {
                    var open = allocs.FindAll(a => a.Gen == gen && !freed.Contains(a.Number));
                    if (open.Count > 0)
                    {
                        var a = open[random.Next(open.Count)];
                        freed.Add(a.Number);
                        tiny._steps.Add(
                            new(What.Free, a.Number, a.Page, a.Pages, recorded, executed, gen, executed ? ++seq : 0));
                    }
                }
                else if (choice == 8 && tearing < 2)
                {
                    tiny._steps.Add(
                        new(tearing == 0 ? What.TeardownBegin : What.TeardownEnd, 0, 0, 0, Recorded.Answered, true,
                            gen, ++seq));
                    tearing++;
                }
                else if (choice == 9 && gen == 1 && tearing != 1 && random.Next(2) == 0)
                {
                    gen++;
                    seq = 1;
                    tiny._steps.Add(new(What.Incarnation, 0, 0, 0, Recorded.Answered, true, gen, 1));
                }
            }

            if (tearing == 2 && random.Next(5) == 0)
            {
                tiny._steps.Add(new(What.Fenced, 0, 0, 0, Recorded.Answered, true, gen, ++seq));
            }

            tiny._complete = !tiny._steps.Exists(s => s.Recorded is Recorded.Lost);
            tiny.Write();
            return tiny;
        }

        public bool HasGaps => _steps.Exists(s => s.Executed && s.Recorded is not Recorded.Answered && GapIsVisible(s));

        public CheckReport Check() => _world.Check();

        public override string ToString() =>
            string.Join(
                '\n',
                _world.Records.Select(
                    r => r.Event is { } e
                        ? RecordJson.Event(e, _world.Objects)
                        : RecordJson.Operation(r.Operation, _world.Objects)))
            + "\n" + string.Join('\n', _steps);

        public bool EveryOrderViolates()
        {
            var gaps = _steps.Where(s => s.Executed && s.Recorded is not Recorded.Answered && GapIsVisible(s))
                .Select(s => (s.Gen, s.Seq)).ToList();
            var unanswered = _steps.Where(s => s.Recorded is Recorded.Unanswered).ToList();
            var (any, clean) = (false, false);
            if (_complete)
            {
                Assign(gaps, 0, unanswered, [], jokers: false, ref any, ref clean);
            }

            if (!any)
            {
                Assign(gaps, 0, unanswered, [], jokers: true, ref any, ref clean);
            }

            return !clean;
        }

        /// <summary>A missing tail of an incarnation is not seen as a gap.</summary>
        private bool GapIsVisible(Step gap) =>
            _steps.Exists(s => s.Gen == gap.Gen && s.Seq > gap.Seq && s.Executed && s.Recorded is Recorded.Answered);

        private void Assign(
            List<(int Gen, long Seq)> gaps, int next, List<Step> unanswered, Dictionary<(int, long), int> freedAt,
            bool jokers,
            ref bool any, ref bool clean)
        {
            if (next == gaps.Count)
            {
                any = true;
                clean |= !Violates(freedAt);
                return;
            }

            var gap = gaps[next];
            if (jokers)
            {
                // A lost record: something harmless, or the free of any allocation made before and freed by nobody
                // else.
                Assign(gaps, next + 1, unanswered, freedAt, jokers, ref any, ref clean);
                foreach (var alloc in _steps.Where(s => s.What is What.Alloc && s.Recorded is Recorded.Answered
                    && s.Gen == gap.Gen && s.Seq < gap.Seq))
                {
                    if (!_steps.Exists(
                        s => s.What is What.Free && s.Alloc == alloc.Alloc && s.Recorded is Recorded.Answered)
                        && !freedAt.ContainsValue(alloc.Alloc) && MayFree(alloc, gap))
                    {
                        freedAt[gap] = alloc.Alloc;
                        Assign(gaps, next + 1, unanswered, freedAt, jokers, ref any, ref clean);
                        freedAt.Remove(gap);
                    }
                }

                return;
            }

            for (var i = 0; i < unanswered.Count; i++)
            {
                var step = unanswered[i];
                var alloc = step.What is What.Free
                    ? _steps.Find(s => s.What is What.Alloc && s.Alloc == step.Alloc)
                    : null;
                if (step.What is What.Free && (alloc!.Gen != gap.Gen || !Follows(step, gap)))
                {
                    continue;
                }

                if (step.What is What.Alloc && !Follows(step, gap))
                {
                    continue;
                }

                unanswered.RemoveAt(i);
                if (step.What is What.Free)
                {
                    freedAt[gap] = step.Alloc;
                }

                Assign(gaps, next + 1, unanswered, freedAt, jokers, ref any, ref clean);
                freedAt.Remove(gap);
                unanswered.Insert(i, step);
            }
        }

        private bool MayFree(Step alloc, (int Gen, long Seq) gap) =>
            _steps.Find(s => s.What is What.Free && s.Alloc == alloc.Alloc
                && s.Recorded is Recorded.Unanswered) is not { } free || Follows(free, gap);

        /// <summary>
        /// One client did everything, one after another: what it had an answer for lies before what it sent later.
        /// </summary>
        private bool Follows(Step step, (int Gen, long Seq) gap)
        {
            var index = _steps.IndexOf(step);
            return !_steps.Take(index).Any(s =>
                s.What is What.Alloc or What.Free && s.Recorded is Recorded.Answered && s.Gen == gap.Gen
                    && s.Seq > gap.Seq);
        }

        private bool Violates(Dictionary<(int, long), int> freedAt)
        {
            var live = new Dictionary<int, Step>();
            var held = new HashSet<int>();
            var (reaped, overlapped) = (false, false);
            var all = _steps.Where(s => s.Executed && s.Recorded is Recorded.Answered)
                .Select(s => (s.Gen, s.Seq, Step: (Step?)s))
                .Concat(freedAt.Keys.Select(k => (Gen: k.Item1, Seq: k.Item2, Step: (Step?)null)))
                .OrderBy(s => s.Gen).ThenBy(s => s.Seq);
            foreach (var (gen, seq, step) in all)
            {
                switch (step?.What)
                {
                    case null:
                        live.Remove(freedAt[(gen, seq)]);
                        break;
                    case What.Alloc:
                        overlapped |= live.Values.Any(
                            l => l.Page < step.Page + step.Pages && step.Page < l.Page + l.Pages);
                        live[step.Alloc] = step;
                        break;
                    case What.Free:
                        live.Remove(step.Alloc);
                        break;
                    case What.TeardownBegin:
                        held = [.. live.Values.Where(l => l.Page < 16).Select(l => l.Alloc)];
                        break;
                    case What.TeardownEnd:
                        reaped |= held.Overlaps(live.Keys);
                        break;
                    case What.Incarnation:
                        live.Clear();
                        break;
                    case What.Fenced:
                        reaped = false;
                        live.Clear();
                        break;
                    default:
                        break;
                }
            }

            return reaped || overlapped;
        }

        private void Write()
        {
            var w = _world;
            w.Incarnation(World.Device);
            w.Dev(EventKind.BindBegin);
            w.Dev(EventKind.PoolCreate);
            w.Dev(EventKind.ChunkAdd, e => e with { Start = World.StartOf(0), SizeBytes = World.ResourceBytes });
            w.Dev(EventKind.BindEnd);
            var ids = new Dictionary<int, AllocId>();
            foreach (var step in _steps)
            {
                switch (step.What)
                {
                    case What.Alloc or What.Free when step.Recorded is Recorded.Answered:
                        if (step.What is What.Alloc)
                        {
                            ids[step.Alloc] = w.Alloc(0, step.Page, step.Pages, op => op with { Owner = 0 });
                        }
                        else
                        {
                            w.Free(ids[step.Alloc], 0, step.Page, step.Pages, op => op with { Owner = 0 });
                        }

                        break;
                    case What.Alloc or What.Free:
                        if (step.Recorded is Recorded.Unanswered)
                        {
                            w.Unanswered(step.What is What.Alloc ? OperationKind.Alloc : OperationKind.Free,
                                ids.GetValueOrDefault(step.Alloc));
                        }

                        if (step.Executed)
                        {
                            w.Skip(World.Device);
                        }

                        break;
                    case What.Incarnation:
                        w.Incarnation(World.Device, "failover");
                        break;
                    default:
                        w.Dev(
                            step.What is What.TeardownBegin
                                ? EventKind.TeardownBegin
                                : step.What is What.TeardownEnd ? EventKind.TeardownEnd : EventKind.Fenced,
                            e => e with
                            {
                                Start = World.StartOf(0),
                                SizeBytes = World.ResourceBytes,
                                Other = w.Id(World.Map(0))
                            });
                        break;
                }
            }

            w.Header = w.Header with { Complete = _complete };
        }
    }
}
