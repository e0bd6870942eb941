using System.Diagnostics;
using Fleet.Checking;
using Fleet.Client.Cluster;
using Fleet.Grains;
using Fleet.Kernel.History;
using Fleet.Kernel.P2pdma;
using Fleet.LoadTests.Measuring;
using Fleet.Protocol.Plans;
using Fleet.Silo;
using Fleet.Storage;
using Fleet.Storage.Results;
using Fleet.Storage.Spool;

namespace Fleet.LoadTests.HotPath;

/// <summary>How far a measured operation gets while it is measured.</summary>
internal enum Recording
{
    /// <summary>Into the spool; between the rounds the spool is read back, counted and emptied.</summary>
    Spooled,

    /// <summary>Through the spool into the result store, as <c>fleet run</c> has it.</summary>
    Stored,

    /// <summary>The same into a PostgreSQL of its own, whose processor time counts.</summary>
    StoredInPostgres,
}

/// <summary>A fleet as <c>fleet run</c> has it: silos, spool, store, online checker.</summary>
internal sealed class MeasuredFleet : IAsyncDisposable
{
    /// <summary>
    /// Segments of a round, which the next one uses again: as it is where a drain gives them back meanwhile.
    /// </summary>
    public const int Spares = 16;

    private static readonly TimeSpan StoringMax = TimeSpan.FromMinutes(3);
    private static readonly TimeSpan StoredLook = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan IdleMax = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan IdleLook = TimeSpan.FromMilliseconds(500);

    private readonly string _folder;
    private readonly IResultStore _store;
    private readonly IRunWriter _writer;
    private readonly SpoolDrain? _drain;
    private readonly SpoolReader? _reader;
    private readonly HistoryBatch _batch;
    private readonly EmbeddedFleet? _fleet;
    private readonly SiloProcesses? _silos;
    private readonly MeasuredDatabase? _database;
    private readonly int _hosts;
    private GatewayClients? _gateways;
    private IReadOnlyList<IGrainFactory?> _through = [];
    private long _findings;

    private MeasuredFleet(
        string folder, IResultStore store, IRunWriter writer, SpoolWriter spool, SpoolDrain? drain,
        EmbeddedFleet? fleet, SiloProcesses? silos, MeasuredDatabase? database,
        ObjectTable objects, IReadOnlyList<DevicePlan> devices, int hosts)
    {
        (_folder, _store, _writer, Spool, _drain, _fleet, _silos, _database, Objects, Devices, _hosts) =
            (folder, store, writer, spool, drain, fleet, silos, database, objects, devices, hosts);
        _reader = drain is null ? SpoolReader.Open(spool.Options.Directory, objects) : null;
        _batch = new HistoryBatch(objects, 1);
        Session = objects.Intern("session:bench");
    }

    public IClusterClient Grains => _fleet?.Grains ?? _silos!.Grains;

    /// <summary>What silos and a database in processes of their own used so far; null where all is in this
    /// one.</summary>
    public Func<Task<Use>>? UseOfOthers => _silos is null && _database is null ? null : UseAsync;

    public SpoolWriter Spool { get; }

    public ObjectTable Objects { get; }

    public IReadOnlyList<DevicePlan> Devices { get; }

    public int Session { get; }

    /// <summary>Operations read back from the spool.</summary>
    private long Read { get; set; }

    /// <summary>Findings so far; a benchmark that measures a broken run says so.</summary>
    public long Findings => Interlocked.Read(ref _findings);

    /// <summary>Until Orleans itself counts the devices' grains as idle: until then it keeps 90 bytes more of
    /// each.</summary>
    /// <exception cref="TimeoutException">They are in use a minute later.</exception>
    public async Task IdleAsync(CancellationToken ct)
    {
        var management = Grains.GetGrain<IManagementGrain>(0);
        var silos = (await management.GetHosts(onlyActive: true)).Keys.ToArray();
        for (var began = Stopwatch.GetTimestamp(); ;)
        {
            var used = (await management.GetRuntimeStatistics(silos)).Sum(silo => silo.RecentlyUsedActivationCount);
            if (used * 100 < Devices.Count)
                return;
            if (Stopwatch.GetElapsedTime(began) > IdleMax)
                throw new TimeoutException($"{used} activations are in use still, {IdleMax} after the devices were.");
            await Task.Delay(IdleLook, ct);
        }
    }

    /// <param name="silos">Processes of their own, reached over loopback TCP; 0 for one silo in this process.</param>
    /// <param name="isChecked">Its objects are watched by an online checker.</param>
    public static async Task<MeasuredFleet> StartAsync(
        int hosts, int devicesPerHost, Recording recording, CancellationToken ct, int silos = 0, bool isChecked = true)
    {
        const string Run = "bench";
        var folder = Path.Combine(Path.GetTempPath(), "fleet-bench-" + Guid.NewGuid().ToString("N"));
        var objects = new ObjectTable();
        var database = recording is Recording.StoredInPostgres
            ? await MeasuredDatabase.StartAsync("hotpath", ct)
            : null;
        var store = await ResultStores.OpenAsync(StoreAddress.Parse(database?.Address ?? folder), ct);
        var writer = await store.CreateRunAsync(
            new RunInfo(Run)
            {
                Scenario = "bench",
                Profile = "ALL",
                Clock = SpoolOptions.MonotonicClock(),
                StartedAt = DateTimeOffset.UtcNow
            },
            objects, ct);
        await writer.AddProcessAsync(
            new ProcessInfo(1, "bench", SpoolOptions.MonotonicClock(), "host", Environment.ProcessId), ct);
        var spool = SpoolWriter.Create(
            new SpoolOptions(Path.Combine(folder, Run + ".spool", "1"), Run, 1, "bench", SpoolOptions.MonotonicClock())
            {
                BoundBytes = recording is Recording.Spooled ? long.MaxValue : 4L << 30,
                SparesMax = recording is Recording.Spooled ? Spares : 2,
            },
            objects);
        var drain = recording is Recording.Spooled ? null : SpoolDrain.Start(spool, writer);
        MeasuredFleet? self = null;
        var checker = new OnlineChecker("ALL", objects, _ => Interlocked.Increment(ref self!._findings));
        var processes = silos == 0 ? null : await SiloProcesses.StartAsync(Run, folder, silos, ct);
        var fleet = silos > 0 ? null : await EmbeddedFleet.StartAsync(
            new EmbeddedFleetOptions
            {
                Run = Run,
                Objects = objects,
                Log = new SpoolLog(spool),
                Streams = isChecked ? checker : null,
            },
            ct);
        var plan = new RunPlan(Run, "ALL", 1, TimeSpan.FromSeconds(2), 3600, []);
        var devices = new List<DevicePlan>();
        for (var host = 0; host < hosts; host++)
        {
            var name = $"host-{host + 1:D4}";
            var own = Enumerable.Range(0, devicesPerHost)
                .Select(d => new DevicePlan(
                    $"{name}/0000:{d / 32 + 1:x2}:{d % 32:x2}.0", "p2pdma",
                    [new PciBar(4, true, 0x40_0000_0000UL + ((ulong)d << 27), 16UL << 20)]))
                .ToList();
            devices.AddRange(own);
        }

        self = new(folder, store, writer, spool, drain, fleet, processes, database, objects, devices, hosts);
        await self.BuildAsync(plan, devicesPerHost);
        if (silos > 1)
        {
            await self.RouteAsync(Run, ct);
        }

        return self;
    }

    /// <summary>Stops the fleet, waits until every record is stored, and says whether none is missing.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_fleet is not null)
        {
            await _fleet.DisposeAsync();
        }

        if (_gateways is not null)
        {
            await _gateways.DisposeAsync();
        }

        if (_silos is not null)
        {
            var found = await _silos.FindingsAsync();
            _findings += found;
            await _silos.DisposeAsync();
        }

        Empty();
        var isExact = _reader is not null && Read == Spool.Operations;
        if (_drain is not null)
        {
            isExact = (await _drain.CompleteAsync(CancellationToken.None)).IsExact;
            await _drain.DisposeAsync();
        }

        if (!isExact || Findings > 0)
        {
            await Console.Error.WriteLineAsync(
                $"bench: the run behind these figures is broken: exact {isExact}, {Findings} findings");
        }

        _reader?.Dispose();
        Spool.Dispose();
        await _writer.DisposeAsync();
        await _store.DisposeAsync();
        if (_database is not null)
        {
            await _database.DisposeAsync();
        }

        Directory.Delete(_folder, recursive: true);
    }

    /// <summary>Reads back what was spooled since the last time, and gives its space back.</summary>
    /// <remarks>Does nothing where a store takes it.</remarks>
    public void Empty()
    {
        while (_reader?.Read(_batch, 65_536) == true)
        {
            Read += _batch.OperationCount;
            _batch.Clear();
        }

        if (_reader is not null)
        {
            Spool.Stored(_reader.TakeSpent());
        }
    }

    /// <summary>Ends when all that was spooled is stored, so that storing it counts where it came from.</summary>
    /// <exception cref="InvalidOperationException">The drain ended before, or takes minutes.</exception>
    public async Task StoredAsync()
    {
        var began = Stopwatch.GetTimestamp();
        while (_drain is not null && _drain.RowsStored < Spool.Operations + Spool.Events)
        {
            if (_drain.Completion.IsCompleted || Stopwatch.GetElapsedTime(began) > StoringMax)
            {
                throw new InvalidOperationException(
                    $"{Spool.Operations + Spool.Events - _drain.RowsStored} rows are not stored.");
            }

            await Task.Delay(StoredLook);
        }
    }

    /// <summary>The client that a generator calls a device through.</summary>
    public IGrainFactory Through(int device) => _gateways is null ? Grains : _through[device]!;

    /// <summary>Messages from silo to silo for one operation; counting them costs, so outside of what is
    /// measured.</summary>
    public async Task<double> HopsAsync(Func<Task<long>> work)
    {
        await _silos!.HopsAsync();
        var operations = await work();
        return (double)await _silos.HopsAsync() / operations;
    }

    private async Task<Use> UseAsync() =>
        (_silos is null ? default : await _silos.UseAsync()) + new Use(_database?.CpuSeconds ?? 0, 0);

    private async Task RouteAsync(string cluster, CancellationToken ct)
    {
        _gateways = new(Grains, cluster, [.. Devices.Select(device => device.Key)], _silos!.GatewaysAsync);
        await _gateways.LookAsync();
        _through = await _gateways.ThroughAsync(ct);
        if (_through.Any(client => client is null || ReferenceEquals(client, Grains)))
        {
            throw new InvalidOperationException("A device has no client at its silo.");
        }
    }

    private async Task BuildAsync(RunPlan plan, int devicesPerHost)
    {
        for (var host = 0; host < _hosts; host++)
        {
            var own = Devices.Skip(host * devicesPerHost).Take(devicesPerHost).ToList();
            var name = own[0].Key[..own[0].Key.IndexOf('/', StringComparison.Ordinal)];
            var built = await Grains.GetGrain<IHostGrain>(name).Build(plan, new HostPlan(name, own));
            if (built.Bound != own.Count)
            {
                throw new InvalidOperationException($"{own.Count - built.Bound} devices of {name} did not bind.");
            }
        }

        await Grains.GetGrain<ISessionGrain>("session:bench").Open(
            plan.Run, Session, TimeSpan.FromHours(1), [.. Enumerable.Range(1, _hosts).Select(h => $"host-{h:D4}")]);
    }
}
