using System.CommandLine;
using System.Globalization;
using Fleet.Client.Cluster;
using Fleet.Client.Runs;

namespace Fleet.Client.Commands;

/// <summary><c>fleet cluster</c>: silos on this machine that stay up between runs.</summary>
internal static class ClusterCommand
{
    private const int SilosDefault = 3;

    private static readonly TimeSpan PatienceDefault = TimeSpan.FromSeconds(60);

    public static Command Create(Terminal terminal) => new(
        "cluster", "Silo processes on this machine that stay up between runs; fleet run --cluster NAME uses them.")
    {
        Up(terminal),
        Status(terminal),
        Down(terminal),
    };

    private static Command Up(Terminal terminal)
    {
        var (directory, json) = (Place(), CommonOptions.Json());
        var silos = CommonOptions.Whole(
            "--silos", 1, LocalCluster.SilosMax, $"Silo processes to start (default {SilosDefault}).");
        var name = new Option<string>("--name")
        {
            Description = $"Name of the cluster (default {LocalCluster.DefaultName}).",
            HelpName = "NAME",
            DefaultValueFactory = _ => LocalCluster.DefaultName,
        };
        var store = new Option<string?>("--store")
        {
            Description =
                "A PostgreSQL store (default: a private server in the directory, which goes with the cluster).",
            HelpName = "URL",
        };
        var patience = CommonOptions.Duration("--patience", "How long all silos may take to be ready (default 60s).");
        var command = new Command("up", "Starts the silos, and returns when every one of them is ready.")
        {
            silos, store, name, directory, patience, json,
        };
        command.SetAction(async (parsed, ct) =>
        {
            var address = parsed.GetValue(store) is { } given ? RunStore.AddressOf(given, null) : null;
            if (address is { IsPostgres: false })
            {
                throw new UsageException(
                    "--store is a directory, and silos of their own share a server; accepted: "
                    + "postgres://USER@HOST:PORT/DATABASE, private[:DIR], or no --store.");
            }

            using var interruption = new Interruption(ct, () => terminal.SayProgress(
                "fleet: interrupted; stopping what was started (interrupt again to stop at once)."));
            try
            {
                var status = await new LocalCluster(parsed.GetRequiredValue(directory)).UpAsync(
                    parsed.GetRequiredValue(name), parsed.GetValue(silos) ?? SilosDefault, address,
                    parsed.GetValue(patience) ?? PatienceDefault, terminal.SayProgress, interruption.Token);
                Show(terminal, status, parsed.GetValue(json));
                return ExitCode.Valid;
            }
            catch (OperationCanceledException) when (interruption.IsRequested)
            {
                terminal.SayProgress("fleet: interrupted; nothing was left behind.");
                return ExitCode.Interrupted;
            }
        });
        return command;
    }

    private static Command Status(Terminal terminal)
    {
        var (directory, json) = (Place(), CommonOptions.Json());
        var command = new Command(
            "status", "Shows silos, members, activations and incarnations; exit 2 when not every silo is ready.")
        {
            directory, json,
        };
        command.SetAction(async (parsed, ct) =>
        {
            var status = await new LocalCluster(parsed.GetRequiredValue(directory)).StatusAsync(ct);
            Show(terminal, status, parsed.GetValue(json));
            return status.IsReady ? ExitCode.Valid : ExitCode.Unknown;
        });
        return command;
    }

    private static Command Down(Terminal terminal)
    {
        var (directory, json) = (Place(), CommonOptions.Json());
        var keep = new Option<bool>("--keep")
        {
            Description = "Leave the directory with the private server's data; fleet cluster up goes on with it.",
        };
        var command = new Command("down", "Stops the silos and the private server, and removes the directory.")
        {
            directory, keep, json,
        };
        command.SetAction(async (parsed, ct) =>
        {
            var end = await new LocalCluster(parsed.GetRequiredValue(directory)).DownAsync(parsed.GetValue(keep), ct);
            if (parsed.GetValue(json))
                terminal.WriteJson(end);
            else
                terminal.Say(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{end.Cluster}: {end.Stopped} silos left{(end.Killed > 0 ? $", {end.Killed} were killed" : "")}; "
                    + $"{(end.Kept is { } kept ? $"{ForeignText.Clean(kept, 4096)} stays" : "nothing stays")}."));
            return ExitCode.Valid;
        });
        return command;
    }

    private static Option<string> Place() => new("--directory")
    {
        Description = $"Where the cluster keeps what it knows (default {LocalCluster.DefaultDirectory}).",
        HelpName = "DIR",
        DefaultValueFactory = _ => LocalCluster.DefaultDirectory,
    };

    private static void Show(Terminal terminal, ClusterStatus status, bool asJson)
    {
        if (asJson)
        {
            terminal.WriteJson(status);
            return;
        }

        terminal.Say(
            $"{status.Cluster}: {status.Silos.Count(silo => silo.IsReady)} of {status.Silos.Count} silos are ready"
            + (status.StoreAnswers ? "." : "; the store does not answer."));
        foreach (var silo in status.Silos)
        {
            var health = silo.Health;
            terminal.Say(string.Create(
                CultureInfo.InvariantCulture,
                $"  {silo.Name,-9} {(silo.IsAlive ? health?.State ?? "starting" : "gone"),-9} pid {silo.Pid,-8} "
                + $"{health?.Silo?.Split('@')[0] ?? "-",-22} {health?.Activations ?? 0,9:N0} activations "
                + $"{health?.EventsCommitted ?? 0,10:N0} events  {ForeignText.Clean(health?.Run ?? "")}").TrimEnd());
        }

        foreach (var members in status.Members.GroupBy(member => (member.IsIdle, member.Status)))
        {
            terminal.Say(
                $"  members {(members.Key.IsIdle ? "that wait" : "of the run")}, {members.Key.Status}: "
                + string.Join(", ", members.Select(member => $"{member.Name} ({member.Generation})")));
        }

        if (status.Incarnations is { } incarnations)
        {
            terminal.Say(string.Create(
                CultureInfo.InvariantCulture,
                $"  run {ForeignText.Clean(incarnations.Run)}: {incarnations.Objects:N0} objects, "
                + $"{incarnations.Reborn:N0} born again after a failover"));
        }

        terminal.Say($"fleet run --cluster {status.Cluster} --store {status.Store}");
    }
}
