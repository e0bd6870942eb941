using System.Globalization;
using Fleet.Checking;
using Fleet.Checking.History;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Wire;

namespace Fleet.Simulation.Cluster;

/// <summary>What one simulated run came to.</summary>
public sealed record SimulationResult
{
    public required SimulationPlan Plan { get; init; }

    public required SimulatedHistory History { get; init; }

    /// <summary>The verdict over the whole history; null where none was kept.</summary>
    public required CheckReport? Report { get; init; }

    /// <summary>What the checker saw while it happened.</summary>
    public required OnlineSnapshot Online { get; init; }

    /// <summary>What the reader has to know besides the verdict, one sentence each.</summary>
    public required IReadOnlyList<string> Reasons { get; init; }

    public required RunVerdict Verdict { get; init; }

    public required int ExitCode { get; init; }

    public required TimeSpan Simulated { get; init; }

    /// <summary>When every device was bound for the first time, or known never to be.</summary>
    public required TimeSpan Built { get; init; }

    public required long Occurrences { get; init; }

    /// <summary>Hot operations and binds, by kind and outcome.</summary>
    public required IReadOnlyList<(OperationKind Kind, long Ok, long Fail, long Unknown)> Operations { get; init; }

    public required long UnbindsWithHolders { get; init; }

    public required IReadOnlyList<StuckSimulation> Stuck { get; init; }

    /// <summary>What struck and what the cluster did about it, by name.</summary>
    public required IReadOnlyDictionary<string, long> Faults { get; init; }

    public ulong Digest => History.Digest;
}

/// <summary>A whole fleet with its load on a virtual clock: one seed, one history.</summary>
/// <remarks>
/// Order, as in a live run: build, load under faults, heal, drain, wait for what is open, reap the session, close.
/// Concurrency: everything on the caller's thread; nothing of it may leave that.
/// </remarks>
public static class ClusterSimulation
{
    /// <summary>How long one poll of a silo waits.</summary>
    internal const long LongPollNs = 1_000_000_000;

    private const long QuickLookNs = 50_000_000;
    private static readonly TimeSpan DrainDefault = TimeSpan.FromSeconds(10);

    /// <summary>Clients that wait for a silo that is being replaced are drained too, later.</summary>
    private static readonly TimeSpan DrainUnderFaults = TimeSpan.FromMinutes(2);

    /// <summary>Longer than building, draining and closing take together under the worst of faults.</summary>
    private static readonly TimeSpan PatienceMost = TimeSpan.FromHours(1);

    /// <exception cref="ArgumentException">The plan names a profile or a device that there is not.</exception>
    public static SimulationResult Run(SimulationPlan plan)
    {
        var before = SynchronizationContext.Current;
        try
        {
            return new Course(plan).Run();
        }
        finally
        {
            SynchronizationContext.SetSynchronizationContext(before);
        }
    }

    private sealed class Course
    {
        private readonly SimulationPlan _plan;
        private readonly OnlineChecker _online;
        private readonly SimulatedHistory _history;
        private readonly VirtualCluster _cluster;
        private readonly VirtualLoad _load;
        private readonly TurnContext _main;
        private long _builtNs;
        private long _reaped;
        private bool _isDrained;

        public Course(SimulationPlan plan)
        {
            _plan = plan;
            var objects = new ObjectTable();
            _history = new(objects, plan.IsDigestOnly);
            _online = new(plan.Run.Profile, objects, _ => { });
            _cluster = new(plan, _history, _online);
            _load = new(_cluster);
            _main = new(_cluster);
        }

        public SimulationResult Run()
        {
            var course = Task.CompletedTask;
            _main.Run(self => course = self.CourseAsync(), this);
            var patienceNs = RandomChoice.Nanoseconds(
                PatienceMost + _plan.Unbind.Patience + _plan.Unbind.Patience
                + TimeSpan.FromTicks(_plan.Phases.Sum(phase => phase.For.Ticks)));
            while (!course.IsCompleted && _cluster.Time.Step())
            {
                if (_cluster.NowNs > patienceNs)
                {
                    throw new InvalidOperationException("The phases are long past, and the run does not end.");
                }
            }

            course.GetAwaiter().GetResult();
            _history.Header = new HistoryHeader
            {
                Run = _plan.Run.Run,
                Source = "simulation",
                Profile = _plan.Run.Profile,
                Order = HistoryOrder.PerObject,
                SortedByObject = true,
                Clock = "virtual",
                ClockBoundNs = 0,
                Complete = true,
                Quiescent = _isDrained,
            };
            var report = _plan.IsDigestOnly ? null : _history.Check(_plan.RequiredProbes);
            return Result(report);
        }

        private async Task CourseAsync()
        {
            await BuildAsync();
            _builtNs = _cluster.NowNs;
            _cluster.OnFenced = _load.Operators.Revive;
            var tape = new FaultTape(_cluster, _load);
            tape.Begin();
            _load.Begin();
            foreach (var phase in _plan.Phases.Where(phase => !phase.IsDrain))
            {
                _load.Enter(phase);
                await _main.Delay(RandomChoice.Nanoseconds(phase.For));
            }

            tape.End();
            _load.Operators.Drain();
            var drain = _plan.Phases.Where(phase => phase.IsDrain).Select(phase => phase.For)
                .DefaultIfEmpty(DrainDefault).First();
            await _main.WaitAsync(
                _load.Drain(), RandomChoice.Nanoseconds(_plan.Faults.Count > 0 ? drain + DrainUnderFaults : drain));
            _isDrained = _load.IsDrained;
            await AwaitQuietAsync();

            // Closing the session frees what no client could; that may end a wait.
            foreach (var generator in _load.Generators.Where(one => !one.IsReaped).ToList())
            {
                var here = await _load.ReapAsync(generator);
                _reaped += here;
            }

            if (_reaped > 0)
            {
                await AwaitQuietAsync();
            }

            _load.Operators.GiveUp();
            while (_load.Operators.Running > 0)
            {
                await _main.Delay(QuickLookNs);
            }

            await _load.EachDeviceAsync(async place => await _load.AskAsync(place, async at =>
            {
                await at.Agent.Close();
                return true;
            }));
        }

        private Task BuildAsync() => _load.EachDeviceAsync(async place =>
        {
            var reply = await _load.AskAsync(place, at => at.Begin(TicketKind.Bind, 0, 1));
            while (!reply.IsDone)
            {
                var ticket = reply.Ticket;
                if (await _load.AskAsync<bool>(
                    place, at => new(at.Agent.Report().Open.Any(open => open.Ticket == ticket && open.IsStuck))))
                {
                    return;
                }

                reply = await _load.AskAsync(place, at => at.AwaitTicket(ticket, LongPollNs));
            }

            _load.KnownGens[place] = reply.At.Gen;
            if (reply.Err is not Errno.OK)
            {
                _load.Operators.Revive(place);
            }
        });

        /// <summary>Waits until no ticket is open, or none ended for as long as patience lasts.</summary>
        private async Task AwaitQuietAsync()
        {
            var fromNs = _cluster.NowNs;
            var operators = _load.Operators;
            while (operators.Running > 0
                && _cluster.NowNs - Math.Max(fromNs, operators.LastEndedNs)
                    <= RandomChoice.Nanoseconds(_plan.Unbind.Patience))
            {
                await _main.Delay(QuickLookNs);
            }
        }

        private SimulationResult Result(CheckReport? report)
        {
            var online = _online.Snapshot();
            var reasons = new List<string>(report?.Reasons ?? []);
            var disagrees = report is not null && Disagreements(report, online, reasons);
            if (!_isDrained)
            {
                reasons.Add("Clients were not drained in time: rules that need a quiet end decide nothing.");
            }

            if (_load.Unresolved > 0)
            {
                reasons.Add(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{_load.Unresolved} operations without an answer were never resolved."));
            }

            var verdict = VerdictOf(report, reasons);
            var exit = disagrees || report?.ExitCode == 70 ? 70
                : verdict is RunVerdict.Invalid ? 1
                : verdict is RunVerdict.Valid ? 0
                : report?.ExitCode == 4 ? 4
                : 2;
            return new()
            {
                Plan = _plan,
                History = _history,
                Report = report,
                Online = online,
                Reasons = reasons,
                Verdict = verdict,
                ExitCode = exit,
                Built = TimeSpan.FromTicks(_builtNs / 100),
                Simulated = TimeSpan.FromTicks(_cluster.NowNs / 100),
                Occurrences = _cluster.Time.Happened,
                Operations =
                [
                    .. from kind in Enum.GetValues<OperationKind>()
                       let ok = _load.Counts.Of(kind, OperationOutcome.Ok)
                       let fail = _load.Counts.Of(kind, OperationOutcome.Fail)
                       let unknown = _load.Counts.Of(kind, OperationOutcome.Unknown)
                       where ok + fail + unknown > 0
                       select (kind, ok, fail, unknown),
                ],
                UnbindsWithHolders = _load.Counts.UnbindsWithHolders,
                Stuck = _load.Operators.Stuck,
                Faults = FaultCountsOf(),
            };
        }

        /// <summary>What the plan's faults may cause at the most is no reason against the run.</summary>
        private RunVerdict VerdictOf(CheckReport? report, List<string> reasons)
        {
            if (report is null)
            {
                return RunVerdict.Unknown;
            }

            var isExpected = _plan.Faults.Any(fault => fault.Expect.Contains("infrastructure"));
            return report.Verdict is RunVerdict.Unknown && isExpected && reasons.Count == 1
                && report.Findings.Count > 0
                && report.Findings.All(finding => finding.Class is FindingClass.Infrastructure)
                ? RunVerdict.Valid
                : report.Verdict is RunVerdict.Valid && reasons.Count > 0 ? RunVerdict.Unknown
                : report.Verdict;
        }

        /// <summary>What was found while it happened has to be found in the history too.</summary>
        /// <remarks>
        /// Where one incarnation followed another, the online checker has also seen what the database refused: no
        /// history holds that, so nothing is compared there.
        /// </remarks>
        private bool Disagreements(CheckReport report, OnlineSnapshot online, List<string> reasons)
        {
            var found = report.Findings.Select(finding => finding.Rule).ToHashSet(StringComparer.Ordinal);
            var missed = online.Findings
                .Where(finding => _cluster.Database.GenOf(DeviceOf(finding.Object)) <= 1)
                .Select(finding => finding.Rule).Distinct()
                .Where(rule => !found.Contains(rule)).ToList();
            reasons.InsertRange(0, missed.Select(rule =>
                $"Two checkers disagree: {rule} was found while it happened, and not in the history."));
            return missed.Count > 0;
        }

        private string DeviceOf(string name)
        {
            var objects = _cluster.Objects;
            return objects.Name(objects.DeviceOf(objects.Find(name)));
        }

        private Dictionary<string, long> FaultCountsOf()
        {
            var counts = _cluster.Counts;
            var named = new (string Name, long Count)[]
            {
                ("silo-kill", counts.SiloKills),
                ("silo-kill-during-teardown", counts.KillsDuringTeardown),
                ("silo-pause", counts.SiloPauses),
                ("silo-woken-after-replacement", counts.Woken),
                ("silo-restart", counts.SiloRestarts),
                ("partition", counts.Partitions),
                ("isolate", counts.Isolations),
                ("message-stalled", counts.Stalled),
                ("surprise-remove", counts.Removals),
                ("database-fault", counts.DatabaseFaults),
                ("message-dropped", counts.Dropped),
                ("message-duplicated", counts.Duplicated),
                ("message-delayed", counts.Delayed),
                ("failover", counts.Failovers),
                ("life-fenced-for-a-lost-part", counts.Fenced),
                ("stale-commit-refused", _cluster.Database.Refused),
                ("call-repeated", counts.Repeats),
                ("call-recalled", counts.Recalled),
                ("unknown-operation", _load.Counts.Unknown),
                ("unknown-resolved-executed", _load.Counts.ResolvedExecuted),
                ("unknown-resolved-not-seen", _load.Counts.ResolvedNotSeen),
                ("generator-kill", counts.GeneratorKills),
                ("reaped", _reaped + _load.ReapedOfKilled),
                ("tag-mismatch", _load.Counts.TagMismatches),
            };
            return named.Where(one => one.Count > 0).ToDictionary(one => one.Name, one => one.Count);
        }
    }
}
