using System.Diagnostics;
using Fleet.Grains;
using Fleet.Kernel;
using Fleet.Kernel.History;
using Fleet.Protocol.Plans;
using Fleet.Protocol.Wire;
using Fleet.Storage.Spool;

namespace Fleet.LoadTests.HotPath;

/// <summary>
/// Logical clients that allocate, touch and free in closed loop, recording each operation before they use its answer.
/// </summary>
/// <remarks>
/// Every sixteen calls a client gives the turn up: without it two of them would starve the rest of the pool.
/// </remarks>
internal sealed class HotPathLoad(MeasuredFleet fleet, int clients)
{
    private const int CallsPerTurn = 16;

    private readonly IBareCalls[] _bare =
        [.. Enumerable.Range(0, 2 * fleet.Devices.Count).Select(d => fleet.Grains.GetGrain<IBareGrain>(d))];

    private readonly IBareCalls[] _placedBare =
    [
        .. fleet.Devices.Select(d => d.Key).Concat(fleet.Devices.Select(d => d.ResourceKey(0)))
            .Select(key => fleet.Grains.GetGrain<IPlacedBareGrain>(key)),
    ];

    private readonly IPciDeviceGrain[] _devices =
        [.. fleet.Devices.Select((plan, d) => fleet.Through(d).GetGrain<IPciDeviceGrain>(plan.Key))];

    private readonly IPgmapGrain[] _maps =
        [.. fleet.Devices.Select((plan, d) => fleet.Through(d).GetGrain<IPgmapGrain>(plan.ResourceKey(0)))];

    private readonly int[] _deviceIds = [.. fleet.Devices.Select(d => fleet.Objects.Intern(d.Name))];
    private readonly int[] _mapIds = [.. fleet.Devices.Select(d => fleet.Objects.Intern(d.MapName(0)))];
    private readonly int[] _refIds = [.. fleet.Devices.Select(d => fleet.Objects.Intern(d.RefName(0)))];

    /// <summary>Calls of grains that live where the client's calls arrive.</summary>
    public Task<long> BareAsync(TimeSpan duration) =>
        RunAsync(duration, (client, until) => BareClientAsync(_bare, client, until));

    /// <summary>Calls of grains that live where those of the same device do.</summary>
    public Task<long> PlacedBareAsync(TimeSpan duration) =>
        RunAsync(duration, (client, until) => BareClientAsync(_placedBare, client, until));

    /// <summary>Bare calls whose operations are recorded as those of devices are.</summary>
    public Task<long> BareRecordedAsync(TimeSpan duration) => RunAsync(duration, BareRecordedClientAsync);

    public Task<long> RecordedAsync(TimeSpan duration) =>
        RunAsync(duration, (client, until) => RecordedClientAsync(_devices, _maps, client, until));

    /// <summary>The same through one client for all devices.</summary>
    public Func<TimeSpan, Task<long>> RecordedThrough(IGrainFactory client)
    {
        IPciDeviceGrain[] devices = [.. fleet.Devices.Select(d => client.GetGrain<IPciDeviceGrain>(d.Key))];
        IPgmapGrain[] maps = [.. fleet.Devices.Select(d => client.GetGrain<IPgmapGrain>(d.ResourceKey(0)))];
        return duration => RunAsync(duration, (c, until) => RecordedClientAsync(devices, maps, c, until));
    }

    /// <summary>Calls of devices that nobody records.</summary>
    public Task<long> UnrecordedAsync(TimeSpan duration) => RunAsync(duration, UnrecordedClientAsync);

    public Task<long> VectorAsync(TimeSpan duration, int width) =>
        RunAsync(duration, (client, until) => VectorClientAsync(client, until, width));

    private async Task<long> RunAsync(TimeSpan duration, Func<int, long, Task<long>> client)
    {
        var until = Stopwatch.GetTimestamp() + (long)(duration.TotalSeconds * Stopwatch.Frequency);
        var done = await Task.WhenAll(Enumerable.Range(0, clients).Select(c => Task.Run(() => client(c, until))));
        return done.Sum();
    }

    private async Task<long> BareClientAsync(IBareCalls[] grains, int client, long until)
    {
        var device = (uint)client * 7919;
        var done = 0L;
        while (Stopwatch.GetTimestamp() < until)
        {
            for (var call = 0; call < CallsPerTurn; call += 3)
            {
                device = Next(device);
                var d = (int)(device % (uint)_devices.Length);
                var (grain, map) = (grains[d], grains[d + _devices.Length]);
                var given = await grain.Alloc(new AllocRequest(done, fleet.Session, 4096, client + 1));
                await map.Access(new AccessRequest(
                    done, fleet.Session, 1, given.Number, given.Address >> 12, 1, AccessDirection.Write, AccessVia.Dma,
                    7, client + 1));
                await grain.Free(new FreeRequest(
                    done, fleet.Session, 1, given.Number, given.Address, 4096, client + 1));
                done += 3;
            }

            await Task.Yield();
        }

        return done;
    }

    private async Task<long> BareRecordedClientAsync(int client, long until)
    {
        using var scribe = new Scribe(this, fleet, client);
        var device = (uint)client * 7919;
        var done = 0L;
        while (Stopwatch.GetTimestamp() < until)
        {
            await fleet.Spool.WaitForRoomAsync(CancellationToken.None);
            for (var call = 0; call < CallsPerTurn; call += 3)
            {
                device = Next(device);
                var d = (int)(device % (uint)_devices.Length);
                var (grain, map) = (_bare[d], _bare[d + _devices.Length]);
                var (op, sent) = scribe.Begin();
                var given = await grain.Alloc(new AllocRequest(op, fleet.Session, 4096, scribe.Client));
                scribe.Alloc(d, op, sent, Scribe.Now, given, 4096);
                (op, sent) = scribe.Begin();
                var access = new AccessRequest(
                    op, fleet.Session, 1, given.Number, given.Address >> 12, 1, AccessDirection.Write, AccessVia.Dma,
                    (ulong)op, scribe.Client);
                var touched = await map.Access(access);
                scribe.Access(d, sent, Scribe.Now, access, touched);
                (op, sent) = scribe.Begin();
                var free = new FreeRequest(op, fleet.Session, 1, given.Number, given.Address, 4096, scribe.Client);
                var freed = await grain.Free(free);
                scribe.Free(d, sent, Scribe.Now, free, freed);
                done += 3;
            }

            await Task.Yield();
        }

        return done;
    }

    private async Task<long> UnrecordedClientAsync(int client, long until)
    {
        using var scribe = new Scribe(this, fleet, client);
        var device = (uint)client * 7919;
        var done = 0L;
        while (Stopwatch.GetTimestamp() < until)
        {
            for (var call = 0; call < CallsPerTurn; call += 3)
            {
                device = Next(device);
                var d = (int)(device % (uint)_devices.Length);
                var given = await _devices[d].Alloc(
                    new AllocRequest(scribe.Number(), fleet.Session, 4096, scribe.Client));
                var op = scribe.Number();
                await _maps[d].Access(new AccessRequest(
                    op, fleet.Session, given.At.Gen, given.Number, given.Address >> 12, 1, AccessDirection.Write,
                    AccessVia.Dma, (ulong)op, scribe.Client));
                await _devices[d].Free(new FreeRequest(
                    scribe.Number(), fleet.Session, given.At.Gen, given.Number, given.Address, 4096, scribe.Client));
                done += 3;
            }

            await Task.Yield();
        }

        return done;
    }

    private async Task<long> RecordedClientAsync(
        IPciDeviceGrain[] devices, IPgmapGrain[] maps, int client, long until)
    {
        using var scribe = new Scribe(this, fleet, client);
        var device = (uint)client * 7919;
        var done = 0L;
        while (Stopwatch.GetTimestamp() < until)
        {
            await fleet.Spool.WaitForRoomAsync(CancellationToken.None);
            for (var call = 0; call < CallsPerTurn; call += 3)
            {
                device = Next(device);
                var d = (int)(device % (uint)devices.Length);
                var (op, sent) = scribe.Begin();
                var given = await devices[d].Alloc(
                    new AllocRequest(op, fleet.Session, 4096, scribe.Client));
                scribe.Alloc(d, op, sent, Scribe.Now, given, 4096);
                if (given.Err is not Errno.OK)
                {
                    throw new InvalidOperationException($"alloc answered {given.Err}");
                }

                (op, sent) = scribe.Begin();
                var access = new AccessRequest(
                    op, fleet.Session, given.At.Gen, given.Number, given.Address >> 12, 1, AccessDirection.Write,
                    AccessVia.Dma, (ulong)op, scribe.Client);
                var touched = await maps[d].Access(access);
                scribe.Access(d, sent, Scribe.Now, access, touched);
                (op, sent) = scribe.Begin();
                var free = new FreeRequest(
                    op, fleet.Session, given.At.Gen, given.Number, given.Address, 4096, scribe.Client);
                var freed = await devices[d].Free(free);
                scribe.Free(d, sent, Scribe.Now, free, freed);
                done += 3;
            }

            await Task.Yield();
        }

        return done;
    }

    private async Task<long> VectorClientAsync(int client, long until, int width)
    {
        using var scribe = new Scribe(this, fleet, client);
        var device = (uint)client * 7919;
        var total = 0L;
        while (Stopwatch.GetTimestamp() < until)
        {
            await fleet.Spool.WaitForRoomAsync(CancellationToken.None);
            device = Next(device);
            var d = (int)(device % (uint)_devices.Length);
            var allocs = new AllocRequest[width];
            for (var i = 0; i < width; i++)
            {
                allocs[i] = new(scribe.Number(), fleet.Session, 4096, scribe.Client);
            }

            var sent = Scribe.Now;
            var given = await _devices[d].AllocMany(new(allocs));
            var done = Scribe.Now;
            var accesses = new AccessRequest[width];
            var frees = new FreeRequest[width];
            for (var i = 0; i < width; i++)
            {
                scribe.Alloc(d, allocs[i].Op, sent, done, given[i], 4096);
                var op = scribe.Number();
                accesses[i] = new(
                    op, fleet.Session, given[i].At.Gen, given[i].Number, given[i].Address >> 12, 1,
                    AccessDirection.Write, AccessVia.Dma, (ulong)op, scribe.Client);
            }

            sent = Scribe.Now;
            var touched = await _maps[d].AccessMany(new(accesses));
            done = Scribe.Now;
            for (var i = 0; i < width; i++)
            {
                scribe.Access(d, sent, done, accesses[i], touched[i]);
                frees[i] = new(
                    scribe.Number(), fleet.Session, given[i].At.Gen, given[i].Number, given[i].Address, 4096,
                    scribe.Client);
            }

            sent = Scribe.Now;
            var freed = await _devices[d].FreeMany(new(frees));
            done = Scribe.Now;
            for (var i = 0; i < width; i++)
            {
                scribe.Free(d, sent, done, frees[i], freed[i]);
            }

            total += 3L * width;
            await Task.Yield();
        }

        return total;
    }

    private static uint Next(uint state)
    {
        state ^= state << 13;
        state ^= state >> 17;
        return unchecked((state ^ (state << 5)) + 0x9E37_79B9);
    }

    /// <summary>Writes what one client saw.</summary>
    private sealed class Scribe : IDisposable
    {
        private readonly HotPathLoad _load;
        private readonly MeasuredFleet _fleet;
        private readonly OperationNumbers _numbers;
        private readonly int _client;

        public Scribe(HotPathLoad load, MeasuredFleet fleet, int client)
        {
            _load = load;
            _fleet = fleet;
            _client = fleet.Objects.Intern($"client:bench.c{client}");
            _numbers = fleet.Spool.OpenClient(_client, fleet.Session);
        }

        /// <summary>It names itself in its requests, as a generator's do: the silo keeps its answers.</summary>
        public int Client => _client;

        public static long Now => Stopwatch.GetTimestamp();

        public long Number() => _numbers.Next();

        public (long Op, long Sent) Begin() => (_numbers.Next(), Stopwatch.GetTimestamp());

        public void Alloc(int d, long op, long sent, long done, in AllocReply reply, ulong size)
        {
            var record = Record(d, op, sent, done, OperationKind.Alloc, reply.Err, _load._deviceIds[d], reply.At);
            record.Alloc = new(_load._deviceIds[d], reply.At.Gen, reply.Number);
            record.Address = reply.Address;
            record.SizeBytes = size;
            record.Owner = reply.Owner < 0 ? 0 : _load._refIds[d];
            _fleet.Spool.Append(record);
        }

        public void Access(int d, long sent, long done, in AccessRequest request, in AccessReply reply)
        {
            var record = Record(d, request.Op, sent, done, OperationKind.Access, reply.Err, _load._mapIds[d], reply.At);
            record.Alloc = new(_load._deviceIds[d], request.Gen, request.Number);
            record.Map = _load._mapIds[d];
            record.Pfn = request.Pfn;
            record.PageCount = request.PageCount;
            record.Direction = request.Direction;
            record.Via = request.Via;
            record.Tag = reply.Tag;
            _fleet.Spool.Append(record);
        }

        public void Free(int d, long sent, long done, in FreeRequest request, in FreeReply reply)
        {
            var record = Record(
                d, request.Op, sent, done, OperationKind.Free, reply.Err, _load._deviceIds[d], reply.At);
            record.Alloc = new(_load._deviceIds[d], request.Gen, request.Number);
            record.Address = request.Address;
            record.SizeBytes = request.SizeBytes;
            record.Owner = reply.Owner < 0 ? 0 : _load._refIds[d];
            _fleet.Spool.Append(record);
        }

        public void Dispose() => _numbers.Dispose();

        private Operation Record(
            int d, long op, long sent, long done, OperationKind kind, Errno err, int obj, At at) => new()
            {
                Number = op,
                Client = _client,
                Session = _fleet.Session,
                Device = _load._deviceIds[d],
                Kind = kind,
                Outcome = err is Errno.OK ? OperationOutcome.Ok : OperationOutcome.Fail,
                Err = err,
                IntendedNs = sent,
                SentNs = sent,
                DoneNs = done,
                At = new(obj, at.Gen, at.Seq, at.Life),
            };
    }
}
