using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Fleet.Tests;

/// <summary>An authority of a test's own, with certificates in files as an operator has them.</summary>
internal sealed class Authority : IDisposable
{
    private const string ServerPurpose = "1.3.6.1.5.5.7.3.1";
    private const string ClientPurpose = "1.3.6.1.5.5.7.3.2";

    private static readonly DateTimeOffset From = DateTimeOffset.UtcNow.AddMinutes(-5);

    private readonly string _directory;
    private readonly X509Certificate2 _certificate;

    public Authority(string directory, string name)
    {
        _directory = directory;
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, true));
        _certificate = request.CreateSelfSigned(From, From.AddDays(1));
        File = Path.Combine(directory, $"{name}.pem");
        System.IO.File.WriteAllText(File, _certificate.ExportCertificatePem());
    }

    public string File { get; }

    /// <returns>Files of a certificate and its key.</returns>
    public (string Cert, string Key) Issue(string name)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension(
            [new Oid(ServerPurpose), new Oid(ClientPurpose)], false));
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName(name);
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        using var certificate = request.Create(
            _certificate, From, From.AddHours(23), RandomNumberGenerator.GetBytes(8));
        var (certFile, keyFile) = (Path.Combine(_directory, $"{name}.crt"), Path.Combine(_directory, $"{name}.key"));
        System.IO.File.WriteAllText(certFile, certificate.ExportCertificatePem());
        System.IO.File.WriteAllText(keyFile, key.ExportPkcs8PrivateKeyPem());
        return (certFile, keyFile);
    }

    /// <returns>The options that make a silo a member.</returns>
    public string[] Options(string name)
    {
        var (cert, key) = Issue(name);
        return ["--tls-cert", cert, "--tls-key", key, "--tls-ca", File];
    }

    public void Dispose() => _certificate.Dispose();
}
