using Fleet.Protocol.Calls;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Machines;
using Fleet.Protocol.Maps;
using Fleet.Protocol.Refs;
using Fleet.Protocol.Resources;
using Fleet.Protocol.Wire;

namespace Fleet.Simulation.Cluster;

/// <summary>
/// The links between agents as messages that may be lost, late or there twice: each call is repeated until it is
/// answered, and executed once.
/// </summary>
/// <remarks>
/// One that meets another incarnation than its caller knows is answered too: so the device learns that the life is
/// over.
/// </remarks>
internal sealed class AgentLinks(VirtualCluster cluster, Activation owner) : IFleetLinks
{
    private readonly Dictionary<Grain, Channel> _channels = [];

    public IResourceLink Resource(string key) => new ResourceLink(To(cluster.ResourceGrain(key)));

    public IMapLink Map(string key) => new MapLink(To(cluster.MapGrain(key)));

    public IPgmapArrayLink PgmapArray(string host) => new PgmapArrayLink(To(cluster.PgmapArrayGrain(host)));

    public void PartLost(DeviceAgent agent) => ((DeviceActivation)owner).LosePart();

    /// <summary>One for each grain: its numbers go on from life to life.</summary>
    private Channel To(Grain grain)
    {
        if (!_channels.TryGetValue(grain, out var channel))
        {
            _channels[grain] = channel = new(cluster, owner, grain);
        }

        return channel;
    }

    private sealed class PgmapArrayLink(Channel channel) : IPgmapArrayLink
    {
        public ValueTask<string?> Conflict(MapRange range) =>
            channel.Always<PgmapArrayActivation, string?>(at => new(at.Agent.Conflict(range)));

        public ValueTask Store(MapRange range) => Do(agent => agent.Store(range));

        public ValueTask Kill(string map) => Do(agent => agent.Kill(map));

        public ValueTask Erase(string map) => Do(agent => agent.Erase(map));

        private async ValueTask Do(Action<PgmapArrayAgent> what) =>
            await channel.Once<PgmapArrayActivation, bool>(at =>
            {
                what(at.Agent);
                return new(true);
            });
    }

    private sealed class ResourceLink(Channel channel) : IResourceLink
    {
        private SlotReport _lastReport;

        public ValueTask<At> Init(int life, At cause) =>
            channel.Once<ResourceActivation, At>(at => at.Init(life, cause));

        public ValueTask<At> Kill(int life, At cause) =>
            channel.Once<ResourceActivation, At>(at => at.Committed(at.Agent.Kill(life, cause)));

        public ValueTask<At> Confirm(int life, SlotReport[] folds) =>
            channel.Once<ResourceActivation, At>(at => at.Committed(at.Agent.Confirm(life, folds)));

        public ValueTask<At> Report(int life, SlotReport report)
        {
            var sent = report;
            if (channel.Bug is PlantedBug.ReportNotCumulative)
            {
                sent = report with { Gets = report.Gets - _lastReport.Gets, Puts = report.Puts - _lastReport.Puts };
                _lastReport = report;
            }

            return channel.Always<ResourceActivation, At>(at => at.Committed(at.Agent.Report(life, sent)));
        }

        public ValueTask<ZeroReply> WaitZero(int life, WaitStep step, At cause) => step is WaitStep.Poll
            ? channel.Always<ResourceActivation, ZeroReply>(at => at.WaitZero(life, step, cause))
            : channel.Once<ResourceActivation, ZeroReply>(at => at.WaitZero(life, step, cause));

        public ValueTask<At> Exit(int life, bool endsCleanup, At cause) =>
            channel.Once<ResourceActivation, At>(at => at.Committed(at.Agent.Exit(life, endsCleanup, cause)));

        public ValueTask<At> Fence(int deviceGen, int life, At cause, string actor) =>
            channel.Once<ResourceActivation, At>(at => at.Agent.Fence(life, cause, actor));

        public ValueTask<At> Look() =>
            channel.Always<ResourceActivation, At>(at => new(at.Agent.Log.Last));
    }

    private sealed class MapLink(Channel channel) : IMapLink
    {
        public ValueTask<At> Store(MapLife life, At cause) =>
            channel.Once<MapActivation, At>(at => at.Store(life, cause));

        public ValueTask<At> AddMemory(int life, At cause) =>
            channel.Once<MapActivation, At>(at => at.Committed(at.Agent.AddMemory(life, cause)));

        public ValueTask<At> InitPages(int life, RefSlotState slot, At cause) =>
            channel.Once<MapActivation, At>(
                async at => await at.Committed(await at.Agent.InitPages(life, slot, cause)));

        public ValueTask<At> SetUp(MapLife life, RefSlotState slot, At cause) =>
            channel.Once<MapActivation, At>(at => at.SetUp(life, slot, cause));

        public ValueTask<SlotReport> Fold(int life) =>
            channel.Once<MapActivation, SlotReport>(at => new(at.Agent.Fold(life)));

        public ValueTask<At> PutInitial(int life, At cause) =>
            channel.Once<MapActivation, At>(async at => await at.Committed(await at.Agent.PutInitial(life, cause)));

        public ValueTask<At> Remove(int life, At cause, At reference) =>
            channel.Once<MapActivation, At>(at => at.Committed(at.Agent.Remove(life, cause, reference)));

        public ValueTask<At> Erase(int life, At cause) =>
            channel.Once<MapActivation, At>(at => at.Committed(at.Agent.Erase(life, cause)));

        public ValueTask<At> Fence(int deviceGen, int life, At cause, string actor) =>
            channel.Once<MapActivation, At>(at => at.Agent.Fence(deviceGen, cause, actor));

        public ValueTask<At> Look() =>
            channel.Always<MapActivation, At>(at => new(at.Agent.Log.Last));

        public ValueTask<At> Bar(int session, string name) =>
            channel.Always<MapActivation, At>(at => at.Bar(session, name));

        public ValueTask<long> Reap(int session, string name) =>
            channel.Always<MapActivation, long>(at => at.Reap(session));
    }
}

/// <summary>The calls of one activation to one grain.</summary>
internal sealed class Channel(VirtualCluster cluster, Activation owner, Grain to)
{
    private readonly List<long> _open = [];
    private long _last;

    public PlantedBug Bug => cluster.Plan.Bug;

    /// <summary>Changes something that a second time would change again.</summary>
    public ValueTask<T> Once<TAt, T>(Func<TAt, ValueTask<T>> execute)
        where TAt : PartActivation => Call(isRepeatable: false, execute);

    /// <summary>Says everything each time: may be executed as often as it arrives.</summary>
    public ValueTask<T> Always<TAt, T>(Func<TAt, ValueTask<T>> execute)
        where TAt : PartActivation => Call(isRepeatable: true, execute);

    private ValueTask<T> Call<TAt, T>(bool isRepeatable, Func<TAt, ValueTask<T>> execute)
        where TAt : PartActivation
    {
        var call = new LinkCall<TAt, T>(this, ++_last, isRepeatable, execute);
        _open.Add(call.Number);
        Send(call);
        return new(call.Answer.Task);
    }

    private void Send<TAt, T>(LinkCall<TAt, T> call)
        where TAt : PartActivation
    {
        call.KnownBelow = _open[0];
        cluster.Send(owner.Silo, to, call.Repeat());
        owner.After(RandomChoice.Nanoseconds(cluster.Plan.Network.RetryAfter), () =>
        {
            if (!call.Answer.Task.IsCompleted)
            {
                cluster.Counts.Repeats++;
                Send(call);
            }
        });
    }

    private sealed class LinkCall<TAt, T>(
        Channel channel, long number, bool isRepeatable, Func<TAt, ValueTask<T>> execute) : Letter
        where TAt : PartActivation
    {
        public long Number => number;

        public long KnownBelow { get; set; }

        public TaskCompletionSource<T> Answer { get; } = new();

        public override void Arrive(Activation at)
        {
            var part = (TAt)at;
            if (part.IsReplaced)
            {
                // Whoever called repeats it, and finds the later one.
                part.Stop();
                return;
            }

            if (isRepeatable || channel.Bug is PlantedBug.ExecuteTwice)
            {
                Execute(part);
                return;
            }

            switch (part.Calls.Begin(channel.Owner, number, KnownBelow, out var known))
            {
                case CallStand.New:
                    Execute(part);
                    break;
                case CallStand.Answered:
                    channel.CountRecall();
                    Return(part, () => channel.Answered(this, (T)known!));
                    break;
                default:
                    break;
            }
        }

        private async void Execute(TAt part)
        {
            var result = await execute(part);
            part.Calls.Answer(channel.Owner, number, result!);
            Return(part, () => channel.Answered(this, result));
        }

        private void Return(TAt part, Action what) => channel.Return(part, what);
    }

    private int Owner => ((ICaller)owner).CallerNumber;

    private void CountRecall() => cluster.Counts.Recalled++;

    private void Answered<TAt, T>(LinkCall<TAt, T> call, T result)
        where TAt : PartActivation
    {
        _open.Remove(call.Number);
        call.Answer.TrySetResult(result);
    }

    private void Return(PartActivation part, Action what) =>
        cluster.Carry(part.Silo, owner.Silo, new Reply(owner, what), static reply => reply);

    private sealed class Reply(Activation owner, Action what) : Occurrence
    {
        public override void Happen()
        {
            if (owner.Silo.IsPaused)
            {
                owner.Silo.Held.Add(this);
            }
            else if (!owner.IsOver)
            {
                owner.Run(static what => what(), what);
            }
        }
    }
}

/// <summary>Whoever calls others has a number in their ledgers.</summary>
internal interface ICaller
{
    int CallerNumber { get; }
}
