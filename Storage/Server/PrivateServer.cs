using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using Fleet.Storage.Results;
using Npgsql;

// CA1416: file modes exist on Unix only; so do the binaries that this class looks for.
#pragma warning disable CA1416

namespace Fleet.Storage.Server;

/// <summary>How a private server is doing.</summary>
/// <param name="Address">Store address of the owner; the password stands in a file of mode 0600, not here.</param>
/// <param name="AnalystAddress">Store address of the role that can only read.</param>
public sealed record PrivateServerStatus(
    bool IsRunning, string DataDirectory, int Port, string Version, string Address, string AnalystAddress);

/// <summary>
/// A PostgreSQL of our own on loopback, from installed binaries: for development and tests, never a system's.
/// </summary>
/// <remarks>
/// Own data directory, own port, scram passwords. Started by root it runs as an unprivileged user, since PostgreSQL
/// refuses root. Roles: <c>fleet_owner</c> (tables, migrations), <c>fleet_writer</c>, <c>fleet_analyst</c> (reads
/// only).
/// </remarks>
public sealed class PrivateServer
{
    private const string Loopback = "127.0.0.1";
    private const string PassFileName = "pgpass";
    private static readonly string[] Roles = ["fleet_admin", "fleet_owner", "fleet_writer", "fleet_analyst"];

    private readonly string _directory;
    private readonly string _binaries;
    private readonly string? _user;

    private PrivateServer(string directory, string binaries)
    {
        _directory = Path.GetFullPath(directory);
        _binaries = binaries;
        _user = Environment.IsPrivilegedProcess ? UnprivilegedUser() : null;
    }

    private string Data => Path.Combine(_directory, "data");

    private string PassFile => Path.Combine(_directory, PassFileName);

    /// <summary>Returns the newest installed <c>bin</c> directory with a server in it; null if there is none.</summary>
    public static string? FindBinaries()
    {
        const string Debian = "/usr/lib/postgresql";
        var versions = Directory.Exists(Debian)
            ? Directory.GetDirectories(Debian).OrderByDescending(
                d => double.TryParse(Path.GetFileName(d), CultureInfo.InvariantCulture, out var v) ? v : 0)
                .Select(d => Path.Combine(d, "bin"))
            : [];
        var path = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator);
        return versions.Concat(path).FirstOrDefault(
            d => File.Exists(Path.Combine(d, "initdb")) && File.Exists(Path.Combine(d, "pg_ctl")));
    }

    /// <exception cref="StorageException">No server binaries are installed.</exception>
    public static PrivateServer In(string directory) => new(
        directory,
        FindBinaries() ?? throw new StorageException(
            "No PostgreSQL server is installed: neither /usr/lib/postgresql/*/bin nor PATH has initdb and pg_ctl."));

    /// <summary>Returns the store address of the owner of the server in a directory, running or not.</summary>
    /// <exception cref="StorageException">There is no server in the directory.</exception>
    public static string AddressIn(string directory)
    {
        var passFile = Path.Combine(Path.GetFullPath(directory), PassFileName);
        return File.Exists(passFile)
            ? AddressOf(
                passFile, Roles[1],
                int.Parse(File.ReadLines(passFile).First().Split(':')[1], CultureInfo.InvariantCulture))
            : throw NoServer(Path.GetFullPath(directory));
    }

    /// <summary>Returns the private server that an address leads to; null when the address is of any other.</summary>
    public static PrivateServer? Behind(StoreAddress address)
    {
        if (address.ConnectionString is null
            || new NpgsqlConnectionStringBuilder(address.ConnectionString) is not { Passfile: { } passFile } connection
            || Path.GetFileName(passFile) != PassFileName || !File.Exists(passFile)
            || Path.GetDirectoryName(Path.GetFullPath(passFile)) is not { } directory
            || !Directory.Exists(Path.Combine(directory, "data")))
        {
            return null;
        }

        var port = File.ReadLines(passFile).First().Split(':')[1];
        return connection.Host == Loopback && connection.Port.ToString(CultureInfo.InvariantCulture) == port
            ? In(directory)
            : null;
    }

    /// <summary>
    /// Starts the server, making its data directory first if there is none; does nothing when it runs.
    /// </summary>
    /// <exception cref="StorageException">It did not start; the message ends with the server's own last
    /// words.</exception>
    public async Task<PrivateServerStatus> UpAsync(CancellationToken ct)
    {
        if (!Directory.Exists(Data))
        {
            await CreateAsync(ct);
        }

        if (!await IsRunningAsync(ct))
        {
            var port = await PortAsync(ct) is var kept && kept > 0 ? kept : FreePort();
            await RunAsync(
                "pg_ctl",
                [
                    "-D", Data, "-w", "-t", "60", "-l", Path.Combine(_directory, "server.log"), "-o",
                    $"-p {port} -c listen_addresses={Loopback} -c unix_socket_directories='' "
                    + "-c password_encryption=scram-sha-256",
                    "start",
                ],
                ct);
            await WritePortAsync(port, ct);
            await CreateRolesAsync(port, ct);
        }

        return await StatusAsync(ct);
    }

    /// <summary>Stops the server; does nothing when it does not run.</summary>
    public async Task DownAsync(CancellationToken ct)
    {
        if (await IsRunningAsync(ct))
        {
            await RunAsync("pg_ctl", ["-D", Data, "-w", "-t", "60", "-m", "fast", "stop"], ct);
        }
    }

    /// <exception cref="StorageException">There is no server in the directory.</exception>
    public async Task<PrivateServerStatus> StatusAsync(CancellationToken ct)
    {
        if (!File.Exists(PassFile))
        {
            throw NoServer(_directory);
        }

        var port = await PortAsync(ct);
        var version = (await File.ReadAllTextAsync(Path.Combine(_directory, "version"), ct)).Trim();
        return new PrivateServerStatus(
            await IsRunningAsync(ct), Data, port, version, AddressOf(PassFile, "fleet_owner", port),
            AddressOf(PassFile, "fleet_analyst", port));
    }

    /// <summary>Returns the process id of the server; a fault plan stops it.</summary>
    public async Task<int?> PidAsync(CancellationToken ct)
    {
        var file = Path.Combine(Data, "postmaster.pid");
        return File.Exists(file)
            ? int.Parse((await File.ReadAllLinesAsync(file, ct))[0], CultureInfo.InvariantCulture)
            : null;
    }

    /// <summary>Kills the server and every process of it at once, as a machine that dies does.</summary>
    /// <returns>False when it does not run.</returns>
    public async Task<bool> KillAsync(CancellationToken ct)
    {
        if (!await IsRunningAsync(ct) || await PidAsync(ct) is not { } pid)
        {
            return false;
        }

        using var server = Process.GetProcessById(pid);
        server.Kill(entireProcessTree: true);
        await server.WaitForExitAsync(ct);
        return true;
    }

    private static StorageException NoServer(string directory) =>
        new($"There is no private server in {directory}; `fleet db up` makes one.");

    private static string AddressOf(string passFile, string role, int port) =>
        $"postgres://{role}@{Loopback}:{port}/fleet?passfile={Uri.EscapeDataString(passFile)}";

    private async Task CreateAsync(CancellationToken ct)
    {
        Directory.CreateDirectory(_directory);
        var version = (await RunAsync("postgres", ["--version"], ct)).Trim();
        await File.WriteAllTextAsync(Path.Combine(_directory, "version"), version + "\n", ct);
        foreach (var role in Roles)
        {
            await AppendSecretAsync(
                $"{Loopback}:0:*:{role}:{RandomNumberGenerator.GetHexString(32, lowercase: true)}\n", ct);
        }

        // The server's user needs the first password once, and a directory of its own.
        var once = Path.Combine(_directory, "once");
        Directory.CreateDirectory(once, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        var passwordFile = Path.Combine(once, "password");
        await File.WriteAllTextAsync(passwordFile, await PasswordAsync("fleet_admin", ct) + "\n", ct);
        try
        {
            if (_user is not null)
            {
                await OwnAsync(_directory, once, ct);
            }

            await RunAsync(
                "initdb",
                [
                    "-D", Data, "-U", "fleet_admin", "-A", "scram-sha-256", "--pwfile", passwordFile, "-E", "UTF8",
                    "--locale=C", "--no-instructions",
                ],
                ct);
        }
        finally
        {
            Directory.Delete(once, recursive: true);
        }
    }

    private async Task CreateRolesAsync(int port, CancellationToken ct)
    {
        var admin = new NpgsqlConnectionStringBuilder
        {
            Host = Loopback,
            Port = port,
            Username = "fleet_admin",
            Password = await PasswordAsync("fleet_admin", ct),
            Database = "postgres",
            Pooling = false,
        };
        await using var connection = new NpgsqlConnection(admin.ConnectionString);
        await connection.OpenAsync(ct);
        foreach (var role in Roles[1..])
        {
            await ExecuteAsync(
                connection,
                $"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN "
                + $"CREATE ROLE {role} LOGIN PASSWORD '{await PasswordAsync(role, ct)}'; END IF; END $$",
                ct);
        }

        await ExecuteAsync(connection, "GRANT fleet_writer, fleet_analyst TO fleet_owner", ct);
        await using var exists = new NpgsqlCommand(
            "SELECT count(*) FROM pg_database WHERE datname = 'fleet'", connection);
        if ((long)(await exists.ExecuteScalarAsync(ct))! == 0)
        {
            await ExecuteAsync(connection, "CREATE DATABASE fleet OWNER fleet_owner", ct);
        }
    }

    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(ct);
    }

    private async Task<bool> IsRunningAsync(CancellationToken ct)
    {
        if (!Directory.Exists(Data))
        {
            return false;
        }

        const int NotRunning = 3;
        var (code, _, error) = await StartAsync("pg_ctl", ["-D", Data, "status"], ct);
        return code switch
        {
            0 => true,
            NotRunning => false,
            _ => throw new StorageException($"The private server in {_directory} cannot be asked: {LastLine(error)}"),
        };
    }

    /// <summary>Gives the server's user a directory that it can reach, and nobody else.</summary>
    private async Task OwnAsync(string directory, string once, CancellationToken ct)
    {
        var (code, _, error) = await ExecAsync("chown", ["-R", $"{_user}:", once], ct);
        if (code == 0)
        {
            Directory.CreateDirectory(Data);
            (code, _, error) = await ExecAsync("chown", [$"{_user}:", Data], ct);
        }

        if (code == 0)
        {
            await File.WriteAllTextAsync(Path.Combine(directory, "server.log"), "", ct);
            (code, _, error) = await ExecAsync("chown", [$"{_user}:", Path.Combine(directory, "server.log")], ct);
        }

        if (code == 0)
        {
            (code, _, _) = await StartAsync("test", ["-r", Path.Combine(once, "password")], ct);
            error = $"the user {_user} cannot enter it; choose a directory that it can, such as one in /var/tmp";
        }

        if (code != 0)
        {
            Directory.Delete(Data, recursive: true);
            throw new StorageException($"The private server cannot use {directory}: {LastLine(error)}.");
        }
    }

    private async Task<string> PasswordAsync(string role, CancellationToken ct) =>
        (await File.ReadAllLinesAsync(PassFile, ct)).Select(l => l.Split(':')).Single(l => l[3] == role)[4];

    /// <summary>The port that was chosen at the first start, so that addresses stay right; 0 before that.</summary>
    private async Task<int> PortAsync(CancellationToken ct) =>
        int.Parse((await File.ReadAllLinesAsync(PassFile, ct))[0].Split(':')[1], CultureInfo.InvariantCulture);

    private async Task WritePortAsync(int port, CancellationToken ct)
    {
        var lines = (await File.ReadAllLinesAsync(PassFile, ct)).Select(l => l.Split(':'));
        await File.WriteAllLinesAsync(PassFile, lines.Select(l => $"{Loopback}:{port}:*:{l[3]}:{l[4]}"), ct);
    }

    private async Task AppendSecretAsync(string line, CancellationToken ct)
    {
        await using var file = new FileStream(PassFile, new FileStreamOptions
        {
            Mode = FileMode.Append,
            Access = FileAccess.Write,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        });
        await file.WriteAsync(System.Text.Encoding.UTF8.GetBytes(line), ct);
    }

    private async Task<string> RunAsync(string program, string[] arguments, CancellationToken ct)
    {
        var (code, output, error) = await StartAsync(program, arguments, ct);
        if (code == 0)
        {
            return output;
        }

        var log = Path.Combine(_directory, "server.log");
        var said = File.Exists(log) && program == "pg_ctl"
            ? LastLine(await File.ReadAllTextAsync(log, ct))
            : LastLine(error);
        throw new StorageException($"{program} failed for the private server in {_directory}: {said}");
    }

    /// <summary>Runs a program of the server as the server's user.</summary>
    private Task<(int Code, string Output, string Error)> StartAsync(
        string program, string[] arguments, CancellationToken ct)
    {
        var path = Path.Combine(_binaries, program);
        path = File.Exists(path) ? path : program;
        return _user is null
            ? ExecAsync(path, arguments, ct)
            : ExecAsync("setpriv", [$"--reuid={_user}", $"--regid={_user}", "--clear-groups", path, .. arguments], ct);
    }

    private static async Task<(int Code, string Output, string Error)> ExecAsync(
        string program, string[] arguments, CancellationToken ct)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = "/",
        };
        start.Environment["LC_ALL"] = "C";
        using var process = Process.Start(start)
            ?? throw new StorageException($"The program {program} cannot be started.");

        var output = process.StandardOutput.ReadToEndAsync(ct);
        var error = process.StandardError.ReadToEndAsync(ct);
        await process.WaitForExitAsync(ct);
        return (process.ExitCode, await output, await error);
    }

    private static string LastLine(string text) =>
        text.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).LastOrDefault()
            ?? "no message";

    private static string UnprivilegedUser()
    {
        var users = File.ReadAllLines("/etc/passwd").Select(l => l.Split(':')[0]).ToHashSet();
        return users.Contains("postgres") ? "postgres"
            : users.Contains("nobody") ? "nobody"
            : throw new StorageException("PostgreSQL refuses to run as root, and there is no user postgres or nobody.");
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
