using System.Diagnostics;
using System.Globalization;
using Fleet.Storage.Server;

namespace Fleet.LoadTests.Storage;

/// <summary>PostgreSQL's own client, as the floor and for questions about sizes.</summary>
internal sealed class Psql(PrivateServerStatus server, string folder)
{
    private readonly string _file = Path.Combine(folder, "rows.bin");

    /// <summary>Writes the rows of a query to the file that <see cref="CopyAsync"/> reads.</summary>
    public Task ExportAsync(string select, CancellationToken ct) =>
        RunAsync($"\\copy ({select}) TO '{_file}' (FORMAT binary)", ct);

    public Task CopyAsync(string table, CancellationToken ct) =>
        RunAsync($"\\copy {table} FROM '{_file}' (FORMAT binary)", ct);

    public Task ExecuteAsync(string sql, CancellationToken ct) => RunAsync(sql, ct);

    public async Task<long> NumberAsync(string sql, CancellationToken ct) =>
        long.Parse((await RunAsync(sql, ct)).Trim(), CultureInfo.InvariantCulture);

    public Task<long> RunIdAsync(string run, CancellationToken ct) =>
        NumberAsync($"SELECT run_id FROM runs WHERE run = '{run}'", ct);

    private async Task<string> RunAsync(string command, CancellationToken ct)
    {
        var start = new ProcessStartInfo(
            Path.Combine(PrivateServer.FindBinaries()!, "psql"),
            [
                "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p",
                server.Port.ToString(CultureInfo.InvariantCulture), "-U", "fleet_owner", "-d", "fleet", "-c", command,
            ])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment =
            {
                ["PGPASSFILE"] = Path.Combine(Path.GetDirectoryName(server.DataDirectory)!, "pgpass"),
                ["PGOPTIONS"] = "-c search_path=fleet",
            },
        };
        using var psql = Process.Start(start)!;
        var output = psql.StandardOutput.ReadToEndAsync(ct);
        var error = await psql.StandardError.ReadToEndAsync(ct);
        await psql.WaitForExitAsync(ct);
        return psql.ExitCode == 0 ? await output : throw new InvalidOperationException($"psql: {error}");
    }
}
