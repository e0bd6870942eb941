using System.Collections.Concurrent;
using System.Threading.Channels;
using Fleet.Kernel.History;
using Fleet.Protocol.Devices;
using Fleet.Protocol.Incarnations;
using Fleet.Protocol.Streams;
using Fleet.Storage.Results;
using Fleet.Storage.Results.Postgres;
using Npgsql;
using NpgsqlTypes;

namespace Fleet.Storage.Cluster;

/// <summary>Numbers and fences incarnations in PostgreSQL, and stores their events with their transitions.</summary>
/// <remarks>
/// The database decides: a transition of an incarnation that is not the newest raises an error there. What callers ask
/// while one commit is under way goes together into the next (group commit), at most 512 groups. A silo answers hot
/// operations without asking; it does so within its <see cref="PostgresTerm"/>, and whoever takes an object from it
/// waits
/// until that ends or was renewed with the news. Concurrency: any thread. Source: docs/decisions/0021.
/// </remarks>
public sealed class PostgresLifecycle : ILifecycleLog, IIncarnations, IAsyncDisposable
{
    /// <summary>Stripe of the batches that come from here and not from a spool.</summary>
    private const int LifecycleStripe = -1;
    private const int GroupsMax = 512;
    private const string StaleState = "FL001";

    private readonly NpgsqlDataSource _source;
    private readonly PostgresRunWriter _writer;
    private readonly ObjectTable _objects;
    private readonly string _scope;
    private readonly int _proc;
    private readonly Channel<Group> _groups = Channel.CreateBounded<Group>(8 * GroupsMax);
    private readonly Channel<Asked> _asked = Channel.CreateBounded<Asked>(8 * GroupsMax);
    private readonly Channel<(string Name, int Gen)> _left = Channel.CreateUnbounded<(string, int)>();
    private readonly ConcurrentDictionary<string, Tenure> _tenures = new(StringComparer.Ordinal);
    private readonly PostgresTerm _term;
    private readonly Task _commits;
    private readonly Task _numbers;
    private readonly Task _leaves;
    private long _batch;
    private long _events;
    private long _refused;

    private PostgresLifecycle(
        NpgsqlDataSource source, PostgresRunWriter writer, string scope, ObjectTable objects, int proc)
    {
        _source = source;
        _writer = writer;
        _scope = scope;
        _objects = objects;
        _proc = proc;
        _term = new(source, scope, proc, _tenures);
        _commits = Task.Run(CommitLoopAsync);
        _numbers = Task.Run(NumberLoopAsync);
        _leaves = Task.Run(LeaveLoopAsync);
    }

    /// <summary>Events that were made durable and said to be.</summary>
    public long Events => Interlocked.Read(ref _events);

    /// <param name="store">A PostgreSQL store.</param>
    /// <param name="writer">The run that the events belong to, of the same store.</param>
    /// <param name="scope">Objects of equal names in one scope are the same object: a run, or a cluster that outlives
    /// runs.</param>
    /// <param name="proc">Number of this process in the run; nobody else stores lifecycle events under it.</param>
    /// <exception cref="StorageException">The store is not PostgreSQL.</exception>
    public static PostgresLifecycle Open(
        IResultStore store, IRunWriter writer, string scope, ObjectTable objects, int proc) =>
        store is PostgresResultStore postgres && writer is PostgresRunWriter run
            ? new(postgres.Source, run, scope, objects, proc)
            : throw new StorageException("Incarnations are fenced by PostgreSQL; the store is a directory.");

    /// <summary>Commits of an incarnation that a newer one had replaced.</summary>
    public long Refused => Interlocked.Read(ref _refused);

    /// <summary>How often this process had to fall silent, and for how long at most.</summary>
    public (long Count, TimeSpan Longest) Lapses => _term.Lapses;

    public bool IsFencing
    {
        get => _term.IsBinding;
        set => _term.IsBinding = value;
    }

    public async ValueTask<Tenure> BeginAsync(string name, KeptPlan? plan = null)
    {
        await _term.RenewedAsync();
        if (_term.IsResigned)
        {
            throw new StaleIncarnationException(name, 0);
        }

        var asked = new Asked(name, plan?.Text);
        await _asked.Writer.WriteAsync(asked);
        var begun = await asked.Done.Task;
        var tenure = new Tenure(begun.Gen, begun.Before, _term);
        if (_tenures.TryGetValue(name, out var known) && IsFencing)
        {
            known.End();
        }

        _tenures[name] = tenure;
        if (_term.IsTaken(name, begun.Gen))
        {
            tenure.End();
        }

        if (IsFencing && begun.Wait > TimeSpan.Zero)
        {
            await Task.Delay(begun.Wait);
        }

        return tenure;
    }

    public async ValueTask<DurableObject> KnownAsync(string name) => await _writer.PatientlyAsync(
        async token =>
        {
            await using var command = _source.CreateCommand(
                "SELECT i.gen, i.life, i.is_bound, k.plan FROM (SELECT $1 AS scope, $2 AS name) AS asked "
                + "LEFT JOIN fleet.incarnations i USING (scope, name) "
                + "LEFT JOIN fleet.kept_plans k USING (scope, name)");
            command.Parameters.Add(new NpgsqlParameter { Value = _scope });
            command.Parameters.Add(new NpgsqlParameter { Value = name });
            await using var rows = await command.ExecuteReaderAsync(token);
            await rows.ReadAsync(token);
            var plan = await rows.IsDBNullAsync(3, token) ? null : rows.GetString(3);
            return await rows.IsDBNullAsync(0, token)
                ? new DurableObject(0, default, plan)
                : new DurableObject(rows.GetInt32(0), new(rows.GetInt32(1), rows.GetBoolean(2)), plan);
        },
        CancellationToken.None);

    public async ValueTask KeepAsync(string name, KeptPlan? plan) => await _writer.PatientlyAsync(
        async token =>
        {
            await using var command = _source.CreateCommand(plan is null
                ? "DELETE FROM fleet.kept_plans WHERE scope = $1 AND name = $2"
                : "INSERT INTO fleet.kept_plans (scope, name, plan) VALUES ($1, $2, $3) "
                    + "ON CONFLICT (scope, name) DO UPDATE SET plan = excluded.plan");
            command.Parameters.Add(new NpgsqlParameter { Value = _scope });
            command.Parameters.Add(new NpgsqlParameter { Value = name });
            if (plan is not null)
            {
                command.Parameters.Add(new NpgsqlParameter { Value = plan.Text });
            }

            return await command.ExecuteNonQueryAsync(token);
        },
        CancellationToken.None);

    public async ValueTask<bool> TryKeepAsync(string name, int gen, KeptPlan plan) => await _writer.PatientlyAsync(
        async token =>
        {
            await using var command = _source.CreateCommand("SELECT fleet.keep_plan($1, $2, $3, $4)");
            command.Parameters.Add(new NpgsqlParameter { Value = _scope });
            command.Parameters.Add(new NpgsqlParameter { Value = name });
            command.Parameters.Add(new NpgsqlParameter { Value = gen });
            command.Parameters.Add(new NpgsqlParameter { Value = plan.Text });
            return (bool)(await command.ExecuteScalarAsync(token))!;
        },
        CancellationToken.None);

    public async ValueTask<IReadOnlyList<string>> NamesAsync(string prefix) => await _writer.PatientlyAsync(
        async token =>
        {
            await using var command = _source.CreateCommand(
                "SELECT name FROM fleet.kept_plans WHERE scope = $1 AND starts_with(name, $2) ORDER BY name");
            command.Parameters.Add(new NpgsqlParameter { Value = _scope });
            command.Parameters.Add(new NpgsqlParameter { Value = prefix });
            await using var rows = await command.ExecuteReaderAsync(token);
            var names = new List<string>();
            while (await rows.ReadAsync(token))
            {
                names.Add(rows.GetString(0));
            }

            return names;
        },
        CancellationToken.None);

    public ValueTask LeaveAsync(string name, Tenure tenure)
    {
        tenure.End();
        _left.Writer.TryWrite((name, tenure.Gen));
        return default;
    }

    /// <exception cref="StaleIncarnationException">A newer incarnation exists; nothing of the group is
    /// stored.</exception>
    public async ValueTask CommitAsync(IReadOnlyList<HistoryEvent> events)
    {
        if (events.Count == 0)
        {
            return;
        }

        var group = new Group([.. events]);
        try
        {
            await _groups.Writer.WriteAsync(group);
        }
        catch (ChannelClosedException)
        {
            throw new StaleIncarnationException(_objects.Name(group.At.Obj), group.At.Gen);
        }

        await group.Done.Task;
    }

    /// <summary>Gives up every object of this process: it answers nobody from here on and begins nothing, and who takes
    /// an object from it need not wait for its term.</summary>
    /// <returns>Completes when the database knows; without its answer the term runs out as that of a lost
    /// process.</returns>
    public Task ResignAsync() => _term.ResignAsync();

    /// <summary>Ends the history of this process: whoever commits later is refused as if he had been
    /// replaced.</summary>
    /// <returns>Completes when all that was accepted is durable, so that <see cref="Events"/> is final.</returns>
    public Task SealAsync()
    {
        _groups.Writer.TryComplete();
        return _commits;
    }

    public async ValueTask DisposeAsync()
    {
        _groups.Writer.TryComplete();
        _asked.Writer.TryComplete();
        _left.Writer.TryComplete();
        await Task.WhenAll(_commits, _numbers, _leaves);
        await _term.DisposeAsync();
    }

    private async Task NumberLoopAsync()
    {
        var batch = new List<Asked>();
        while (await _asked.Reader.WaitToReadAsync())
        {
            batch.Clear();
            var names = new HashSet<string>(StringComparer.Ordinal);
            while (batch.Count < GroupsMax && _asked.Reader.TryPeek(out var next) && names.Add(next.Name)
                && _asked.Reader.TryRead(out var taken))
            {
                batch.Add(taken);
            }

            try
            {
                // Asked twice after a lost answer it counts twice: a gap in the numbers, which fences all the same.
                var numbers = await _writer.PatientlyAsync(token => NumberAsync(batch, token), CancellationToken.None);
                batch.ForEach(a => a.Done.SetResult(numbers[a.Name]));
            }
            catch (Exception e)
            {
                batch.ForEach(a => a.Done.TrySetException(e));
            }
        }
    }

    private async Task<Dictionary<string, Begun>> NumberAsync(List<Asked> asked, CancellationToken ct)
    {
        await using var command = _source.CreateCommand(
            "SELECT name, gen, life, is_bound, wait_ms FROM fleet.begin_incarnations($1, $2, $3, $4)");
        command.Parameters.Add(new NpgsqlParameter { Value = _scope });
        command.Parameters.Add(new NpgsqlParameter { Value = _proc });
        command.Parameters.Add(Texts(asked.Select(one => one.Name)));
        command.Parameters.Add(Texts(asked.Select(one => one.Plan)));
        await using var rows = await command.ExecuteReaderAsync(ct);
        var numbers = new Dictionary<string, Begun>(StringComparer.Ordinal);
        while (await rows.ReadAsync(ct))
        {
            numbers.Add(rows.GetString(0), new(
                rows.GetInt32(1), new(rows.GetInt32(2), rows.GetBoolean(3)),
                TimeSpan.FromMilliseconds(rows.GetDouble(4))));
        }

        return numbers;
    }

    private async Task LeaveLoopAsync()
    {
        var batch = new List<(string Name, int Gen)>();
        while (await _left.Reader.WaitToReadAsync())
        {
            batch.Clear();
            while (batch.Count < GroupsMax && _left.Reader.TryRead(out var next))
            {
                batch.Add(next);
            }

            await _writer.PatientlyAsync(
                async token =>
                {
                    await using var command = _source.CreateCommand("SELECT fleet.leave_incarnations($1, $2, $3)");
                    command.Parameters.Add(new NpgsqlParameter { Value = _scope });
                    command.Parameters.Add(Texts(batch.Select(one => one.Name)));
                    command.Parameters.Add(Integers(batch.Select(one => (int?)one.Gen)));
                    return await command.ExecuteNonQueryAsync(token);
                },
                CancellationToken.None);
        }
    }

    private static NpgsqlParameter Texts(IEnumerable<string?> values) => new()
    {
        Value = values.ToArray(),
        NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text,
    };

    private static NpgsqlParameter Integers(IEnumerable<int?> values) => new()
    {
        Value = values.ToArray(),
        NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Integer,
    };

    private async Task CommitLoopAsync()
    {
        var groups = new List<Group>();
        var batch = new HistoryBatch(_objects, _proc);
        while (await _groups.Reader.WaitToReadAsync())
        {
            groups.Clear();
            while (groups.Count < GroupsMax && _groups.Reader.TryRead(out var next))
            {
                groups.Add(next);
            }

            await CommitAsync(groups, batch);
        }
    }

    private async Task CommitAsync(List<Group> groups, HistoryBatch batch)
    {
        while (groups.Count > 0)
        {
            batch.Clear();
            groups.ForEach(g => batch.Events.AddRange(g.Events));
            batch.Stretches.Add(new SpoolStretch(_proc, LifecycleStripe, ++_batch, 0, batch.Events.Count));
            try
            {
                await _writer.AppendAsync(batch, () => TransitionOf(groups), CancellationToken.None);
                Interlocked.Add(ref _events, batch.Events.Count);
                groups.ForEach(g => g.Done.SetResult());
                return;
            }
            catch (PostgresException e) when (e.SqlState == StaleState)
            {
                // The whole transaction was rolled back; the stale object goes, the others try again without it.
                var stale = groups.Where(g => _objects.Name(g.At.Obj) == e.Detail).ToList();
                if (stale.Count == 0)
                {
                    groups.ForEach(g => g.Done.SetException(e));
                    return;
                }

                Interlocked.Add(ref _refused, stale.Count);
                foreach (var group in stale)
                {
                    if (_tenures.TryGetValue(e.Detail!, out var tenure) && tenure.Gen == group.At.Gen)
                    {
                        tenure.End();
                    }

                    group.Done.SetException(new StaleIncarnationException(e.Detail!, group.At.Gen));
                }

                groups.RemoveAll(stale.Contains);
            }
            catch (Exception e)
            {
                groups.ForEach(g => g.Done.TrySetException(e));
                return;
            }
        }
    }

    private NpgsqlBatchCommand TransitionOf(List<Group> groups)
    {
        // One transition for each object and incarnation, in one order whoever commits.
        var last = groups.GroupBy(g => (Name: _objects.Name(g.At.Obj), g.At.Gen))
            .Select(g => (g.Key.Name, g.Key.Gen, Seq: g.Max(x => x.Events[^1].At.Seq), State: StateAfter(g)))
            .OrderBy(t => t.Name, StringComparer.Ordinal).ThenBy(t => t.Gen).ToList();
        var lives = Integers(last.Select(t => t.State?.Life));
        var bounds = new NpgsqlParameter
        {
            Value = last.Select(t => t.State?.IsBound).ToArray(),
            NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Boolean,
        };
        var insert = new NpgsqlBatchCommand(IsFencing
            ? "INSERT INTO transitions (scope, name, gen, seq, life, is_bound) "
                + "SELECT $1, n, g, s, l, b FROM unnest($2, $3, $4, $5, $6) AS t(n, g, s, l, b)"
            : "SELECT fleet.record_unfenced($1, $2, $3, $4)");
        insert.Parameters.Add(new NpgsqlParameter { Value = _scope });
        insert.Parameters.Add(Texts(last.Select(t => t.Name)));
        if (IsFencing)
        {
            insert.Parameters.Add(Integers(last.Select(t => (int?)t.Gen)));
            insert.Parameters.Add(new NpgsqlParameter
            {
                Value = last.Select(t => t.Seq).ToArray(),
                NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bigint,
            });
        }

        insert.Parameters.Add(lives);
        insert.Parameters.Add(bounds);
        return insert;
    }

    /// <returns>Null where the events change nothing of it.</returns>
    private static DeviceState? StateAfter(IEnumerable<Group> groups)
    {
        // No life has this number: a state that stays so was not changed.
        var before = new DeviceState(-1, false);
        var state = before;
        foreach (var happened in groups.SelectMany(group => group.Events))
        {
            state = happened.Kind is EventKind.UnbindEnd or EventKind.Fenced
                ? new(happened.At.Life, false) : state.After(happened);
        }

        return state == before ? null : state;
    }

    private sealed class Group(HistoryEvent[] events)
    {
        public HistoryEvent[] Events => events;

        public Position At => events[0].At;

        public TaskCompletionSource Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private readonly record struct Begun(int Gen, DeviceState Before, TimeSpan Wait);

    private sealed class Asked(string name, string? plan)
    {
        public string Name => name;

        public string? Plan => plan;

        public TaskCompletionSource<Begun> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
